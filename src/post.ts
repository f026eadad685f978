import { postStage } from './action/post-stage.ts';
import { runStage } from './action/stage.ts';
import { ignoreSignals } from './ci/signals.ts';

ignoreSignals();
void runStage(postStage);
