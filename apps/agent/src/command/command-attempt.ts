import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type CommandEvent,
  type CommandJob,
  type CommandResult,
  commandEvent,
  commandRoot,
  commitOutputs,
  partsOfSpaceUrl,
  reportCommands,
} from '@beamtime/contracts';
import type { AttemptFiles } from '../attempt-files.js';
import type { AttemptReporter } from '../attempt-reporter.js';
import type { Facility } from '../facility.js';
import { pause } from '../pause.js';
import { PutRefused, putFile } from '../put-file.js';
import type { AttemptAddress } from '../upload-files.js';
import { fetchInputs, requireAllowed } from './fetch-inputs.js';
import type { ContainerSettings, RunnerSettings } from './settings.js';

type Output = Extract<CommandEvent, { event: 'output' }>;

/** What this agent's file says about commands, and what none of them may see. */
export type CommandPlace = RunnerSettings;

const runnerMain = fileURLToPath(new URL('./main.js', import.meta.url));
/** Reports at most so often while commands run. */
const reportEveryMs = 1_000;
const noticesMax = 100;
const putTries = 5;
const putBaseMs = 500;

/** The side of one attempt that only commands have: their settings, their events, their outputs. */
export class CommandAttempt {
  private readonly results = new Map<number, CommandResult>();
  private readonly outputs: Output[] = [];
  private readonly notices: string[] = [];
  private failedIndex: number | null = null;
  private seq = 0;
  private reporting: Promise<void> | undefined;
  private again = false;
  failed: { code: string; detail: string; exitCode: number | null } | undefined;

  constructor(
    private readonly job: CommandJob,
    private readonly place: CommandPlace,
    private readonly files: Pick<AttemptFiles, 'workdir' | 'jobFile' | 'uploads'>,
    private readonly link: {
      readonly facility: Facility;
      readonly address: AttemptAddress;
      readonly reporter: AttemptReporter;
      readonly signal: AbortSignal;
      readonly onRefused: (error: Error) => void;
    },
  ) {}

  /** The command line of what runs, in the place of the Python runner. */
  get program(): string[] {
    return [process.execPath, runnerMain];
  }

  /** Puts the settings beside the job file, and fetches what lies on the web. */
  async stage(): Promise<void> {
    await writeFile(join(dirname(this.files.jobFile), 'commands.json'), JSON.stringify(this.place), {
      mode: 0o600,
    });
    const { hosts, downloadBytesMax } = this.place.containers;
    const allowed = { hosts, bytesMax: downloadBytesMax };
    await fetchInputs(this.job.downloads, join(this.files.workdir, commandRoot), allowed, this.link.signal);
  }

  /** A line of the command runner; anything that is no event is text of the runner itself. */
  takeLine(line: string): void {
    const event = readCommandEvent(line);
    if (event === undefined) {
      if (line !== '') this.link.reporter.log('agent', `${line}\n`);
      return;
    }
    switch (event.event) {
      case 'text':
        this.link.reporter.log(event.stream, event.text);
        return;
      case 'started':
      case 'ended':
        this.results.set(event.result.index, event.result);
        break;
      case 'notice':
        if (this.notices.length < noticesMax) this.notices.push(event.text.slice(0, 2_000));
        break;
      case 'output':
        this.outputs.push(event);
        return;
      case 'failed':
        this.failed = { code: 'command', detail: event.detail, exitCode: event.exitCode };
        if (event.exitCode !== null) this.failedIndex = Math.max(0, ...this.results.keys());
        break;
    }
    this.reportSoon();
  }

  private reportSoon(): void {
    this.again = true;
    this.reporting ??= this.reportWhile().finally(() => {
      this.reporting = undefined;
    });
  }

  private async reportWhile(): Promise<void> {
    while (this.again && !this.link.signal.aborted) {
      this.again = false;
      try {
        await this.report();
      } catch (error) {
        if (!this.link.signal.aborted) this.link.onRefused(error as Error);
        return;
      }
      if (this.again) await pause(reportEveryMs, this.link.signal);
    }
  }

  private async report(): Promise<void> {
    const { facility, address, signal } = this.link;
    await facility.call(
      reportCommands,
      {
        params: { jobId: address.jobId, attempt: address.attempt },
        body: {
          incarnation: address.incarnation,
          seq: this.seq++,
          results: [...this.results.values()],
          failedIndex: this.failedIndex,
          notices: this.notices,
          hostName: hostname().slice(0, 255),
        },
      },
      signal,
    );
  }

  /** What the commands did has been heard; called before the attempt's end is reported. */
  async settle(): Promise<void> {
    this.again = false;
    await this.reporting;
    if (!this.link.signal.aborted) await this.report();
  }

  /** Brings the outputs in and has them committed, all together. Throws why it could not. */
  async deliver(): Promise<void> {
    if (this.outputs.length === 0) return;
    const { facility, address, signal } = this.link;
    const { uploads } = this.files;
    const stored = this.outputs.filter((output) => partsOfSpaceUrl(output.url) !== undefined);
    const parcels = await uploads.collect(
      '',
      stored.map(({ file, sizeBytes, sha256 }) => ({ path: file, bytes: sizeBytes, sha256 })),
    );
    if (parcels.length > 0) await uploads.upload(parcels, signal);
    for (const output of this.outputs) if (!stored.includes(output)) await this.put(output);
    await facility.call(
      commitOutputs,
      {
        params: { jobId: address.jobId, attempt: address.attempt },
        body: {
          incarnation: address.incarnation,
          outputs: this.outputs.map(({ path, url, sizeBytes, sha256 }) => ({ path, url, sizeBytes, sha256 })),
        },
      },
      signal,
    );
  }

  /** To a URL of the client's own, such as one that its store has presigned. */
  private async put(output: Output): Promise<void> {
    const { signal } = this.link;
    requireAllowed(new URL(output.url), this.place.containers.hosts);
    for (let tries = 1; ; tries++) {
      try {
        const path = join(this.files.workdir, output.file);
        await putFile({ path, sizeBytes: output.sizeBytes }, { url: output.url, headers: {} }, signal);
        return;
      } catch (error) {
        signal.throwIfAborted();
        const final = error instanceof PutRefused && error.status < 500 && error.status !== 429;
        if (final || tries >= putTries)
          throw new Error(`${output.path} could not be put to its url: ${(error as Error).message}`);
        await pause(putBaseMs * 2 ** tries, signal);
      }
    }
  }
}

function readCommandEvent(line: string): CommandEvent | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    return commandEvent.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}

/** What of this agent no command may see, whatever engine runs it: its file, its key, its state. */
export function commandPlace(
  containers: ContainerSettings,
  own: readonly (string | undefined)[],
): CommandPlace {
  return { containers, hidden: own.filter((path): path is string => path !== undefined && existsSync(path)) };
}
