import type { SshHostConfig } from '../../job/host-config.ts';

/** What a person asked for by themselves; it wins over what the files say. */
export type AskedFor = Omit<SshHostConfig, 'type' | 'sshConfig'>;

/** For the host itself, or handed on to a host on the way to it. */
export type Standing = 'own' | 'inherited';
