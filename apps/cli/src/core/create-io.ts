import { createApiClient } from '@beamtime/contracts';
import type { CliIo, SharedOptions } from './cli-io.js';
import { Credentials } from './credentials.js';
import { findFacilityUrl } from './find-facility.js';
import type { Screen } from './live-screen.js';
import { type ProgressScreen, progressBar } from './progress-bar.js';
import { UsageError } from './usage-error.js';

/** The world as a process has it. */
export interface World {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  stdout(text: string): void;
  readonly stderr: ProgressScreen;
  /** What stdout is; no terminal when left out. */
  readonly screen?: Omit<Screen, 'write'>;
  /** Calls back at Ctrl-C or SIGTERM until what it answers is called; without it nobody can interrupt. */
  onInterrupt?(callback: () => void): () => void;
  openBrowser(url: string): void;
}

export interface SettledIo extends CliIo {
  /** Takes over the shared options of the command that is about to run. */
  settle(options: SharedOptions): void;
}

export function createIo(world: World): SettledIo {
  let shared: SharedOptions = { json: false, url: undefined, as: undefined };
  const silent = { at: () => undefined, done: () => undefined, stopped: () => undefined };
  const line = (text: string) => (text.endsWith('\n') ? text : `${text}\n`);
  return {
    env: world.env,
    cwd: world.cwd,
    get shared() {
      return shared;
    },
    settle(options) {
      shared = options;
    },
    show(value, human) {
      world.stdout(line(shared.json ? JSON.stringify(value, null, 2) : human()));
    },
    write: (text) => world.stdout(text),
    screen: {
      get isTerminal() {
        return !shared.json && world.screen?.isTerminal === true;
      },
      get columns() {
        return world.screen?.columns ?? 100;
      },
      get rows() {
        return world.screen?.rows ?? 30;
      },
      write: (text) => world.stdout(text),
    },
    async untilInterrupted(work) {
      const interrupted = new AbortController();
      const forget = world.onInterrupt?.(() => interrupted.abort());
      try {
        return await work(interrupted.signal);
      } finally {
        forget?.();
      }
    },
    note(text) {
      if (!shared.json) world.stderr.write(line(text));
    },
    urge: (text) => world.stderr.write(line(text)),
    progress: (title, total) => (shared.json ? silent : progressBar(world.stderr, title, total)),
    facilityUrl: () => findFacilityUrl(shared.url, world.env, world.cwd),
    client() {
      const url = findFacilityUrl(shared.url, world.env, world.cwd);
      return createApiClient(url, tokenFor(url, shared.as, world.env));
    },
    openBrowser: (url) => world.openBrowser(url),
  };
}

function tokenFor(url: string, as: string | undefined, env: World['env']): string | undefined {
  if (as === undefined && env['BEAMTIME_TOKEN']) return env['BEAMTIME_TOKEN'];
  const login = new Credentials(env).find(url, as);
  if (as !== undefined && login === undefined)
    throw new UsageError(`No login of ${as} is kept for ${url}; \`beamtime login\` first`);
  return login?.token;
}
