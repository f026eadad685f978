import { openHost } from '../../src/host/open.ts';
import { describeHost } from './conformance.ts';

describeHost('local', () => openHost({ type: 'local', sudo: false }));
