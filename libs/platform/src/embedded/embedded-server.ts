import type { Problem } from '@beamtime/kernel';

/** A server that this process started for itself. */
export interface EmbeddedServer {
  /** Holds the password: not for logs. */
  readonly url: string;
  readonly host: string;
  readonly port: number;
  readonly pid: number;
  readonly logPath: string;
  /** Settles when the server has ended, whether asked to or not. */
  readonly ended: Promise<void>;
  /** Stops the server in order and frees the folder; a second call does nothing. */
  stop(): Promise<void>;
}

export type EmbeddedServerProblem = Problem<
  'embedded.binary-missing' | 'embedded.in-use' | 'embedded.port-taken' | 'embedded.start-failed'
>;
