import type { ApiClient } from '@beamtime/contracts';
import type { Screen } from './live-screen.js';
import type { Progress } from './progress-bar.js';

/** Options that every command has. */
export interface SharedOptions {
  /** Results as one JSON value on stdout, errors as one JSON problem on stderr. */
  readonly json: boolean;
  readonly url: string | undefined;
  /** E-mail address of the login to use, where several are kept. */
  readonly as: string | undefined;
}

/** All that a command touches of the world: tests hand it another one. Commands never ask questions. */
export interface CliIo {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Settled before a command's action runs. */
  readonly shared: SharedOptions;
  /** The result: `value` as JSON with --json, otherwise what `human` says. Goes to stdout. */
  show(value: unknown, human: () => string): void;
  /** Writes as it is to stdout: for streams and exports, which are the result themselves. */
  write(text: string): void;
  /** Where the result goes, for what redraws itself in place. */
  readonly screen: Screen;
  /** Given by Ctrl-C and SIGTERM while it is listened to: whatever watches or follows ends in order. */
  untilInterrupted<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T>;
  /** Something for a person to know on the way; goes to stderr, nowhere with --json. */
  note(text: string): void;
  /** Something without which the person cannot go on, such as an address to open; goes to stderr even with --json. */
  urge(text: string): void;
  /** A bar on a terminal, a line now and then elsewhere, nothing with --json. */
  progress(title: string, total: number): Progress;
  /** Address of the facility: --url, BEAMTIME_URL, the embedded facility of this folder, or the usual one. */
  facilityUrl(): string;
  /** A client of the facility with BEAMTIME_TOKEN or the kept login; without any, public endpoints still answer. */
  client(): ApiClient;
  /** Shows a page to the person, if there is a screen. */
  openBrowser(url: string): void;
}
