import { existsSync } from 'node:fs';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { AttemptAssignment, AttemptRef, FolderFile } from '@beamtime/contracts';
import { outputFiles } from '@beamtime/executors';
import type { Facility } from './facility.js';
import { FollowFile } from './follow-file.js';
import { type CacheContent, InputCache } from './input-cache.js';
import { pause } from './pause.js';
import { type AttemptAddress, UploadFiles } from './upload-files.js';

/** What a program has printed since the last look. */
export interface Printed {
  readonly stdout: readonly string[];
  readonly stderr: readonly string[];
  /** Of both, since it began. */
  readonly bytes: number;
}

/** The folder of one attempt. The lease logic sees files only through this, so that a simulation can have its own. */
export interface AttemptFiles {
  readonly workdir: string;
  readonly jobFile: string;
  readonly uploads: Pick<UploadFiles, 'collect' | 'upload'>;
  /** Makes the folder anew, with all inputs and the job file. */
  stage(assignment: AttemptAssignment, signal: AbortSignal): Promise<void>;
  /** With `final`, also a last line without its end. */
  printed(final: boolean): Promise<Printed>;
  /** Keeps a folder that it saved for what comes later here; the program has ended. */
  keep(folder: string, files: readonly FolderFile[]): Promise<void>;
  remove(): Promise<void>;
}

/** What an agent keeps on its machine. */
export interface AgentFiles {
  /** Attempts of which an earlier process left a folder behind; removes the folders. */
  clearLeftovers(): Promise<AttemptRef[]>;
  /** Whether an operator has asked this agent to drain. */
  drainAsked(): boolean;
  /** The inputs that lie here; undefined where nothing is kept. */
  cached(): CacheContent | undefined;
  /** Lets kept inputs go where programs are about to fill the disk. */
  relieve(): Promise<void>;
  of(address: AttemptAddress, facility: Facility): AttemptFiles;
}

/** A gigabyte or so is hashed by then, and the next sync tells of it. */
const waitForHashMs = 1_000;

/** While this file lies in the state folder, the agent drains; `beamtime agent drain` puts it there. */
export const drainFile = 'drain';

/** The state folder on disk. */
export class DiskFiles implements AgentFiles {
  private readonly cache: InputCache;

  constructor(
    private readonly stateDir: string,
    cacheBytesMax: number,
  ) {
    this.cache = new InputCache(join(stateDir, 'cache'), cacheBytesMax);
  }

  private get attempts(): string {
    return join(this.stateDir, 'attempts');
  }

  async clearLeftovers(): Promise<AttemptRef[]> {
    await mkdir(this.attempts, { recursive: true });
    await this.cache.open();
    const left: AttemptRef[] = [];
    for (const name of await readdir(this.attempts)) {
      const match = /^(job_[0-9a-z]{26})\.(\d+)$/.exec(name);
      if (match?.[1] !== undefined) left.push({ jobId: match[1], attempt: Number(match[2]) });
      await rm(join(this.attempts, name), { recursive: true, force: true });
    }
    return left;
  }

  drainAsked(): boolean {
    return existsSync(join(this.stateDir, drainFile));
  }

  cached(): CacheContent {
    return this.cache.content();
  }

  relieve(): Promise<void> {
    return this.cache.relieve();
  }

  of(address: AttemptAddress, facility: Facility): AttemptFiles {
    return new FolderOfAttempt(
      join(this.attempts, `${address.jobId}.${address.attempt}`),
      this.cache,
      facility,
      address,
    );
  }
}

class FolderOfAttempt implements AttemptFiles {
  readonly workdir: string;
  readonly jobFile: string;
  readonly uploads: UploadFiles;
  private readonly stdout: FollowFile;
  private readonly stderr: FollowFile;

  constructor(
    private readonly home: string,
    private readonly cache: InputCache,
    facility: Facility,
    address: AttemptAddress,
  ) {
    this.workdir = join(home, 'work');
    this.jobFile = join(home, 'job.json');
    this.uploads = new UploadFiles(facility, address, this.workdir, join(home, 'outbox'));
    this.stdout = new FollowFile(join(this.workdir, outputFiles.stdout));
    this.stderr = new FollowFile(join(this.workdir, outputFiles.stderr));
  }

  async stage(assignment: AttemptAssignment, signal: AbortSignal): Promise<void> {
    await rm(this.home, { recursive: true, force: true });
    await mkdir(this.workdir, { recursive: true });
    const inputs = [...assignment.inputs, ...(assignment.resume?.files ?? [])];
    await this.cache.stage(inputs, this.workdir, signal);
    await writeFile(this.jobFile, JSON.stringify(assignment.runner));
  }

  async printed(final: boolean): Promise<Printed> {
    const stdout = await this.stdout.lines(final);
    const stderr = await this.stderr.lines(final);
    return { stdout, stderr, bytes: this.stdout.bytesRead + this.stderr.bytesRead };
  }

  async keep(folder: string, files: readonly FolderFile[]): Promise<void> {
    const { done } = await this.cache.adopt(
      files.map(({ path, bytes, sha256 }) => ({
        path: join(this.workdir, folder, path),
        sizeBytes: bytes,
        sha256,
      })),
    );
    // A large one is hashed behind the attempt's back: its GPUs are wanted.
    await Promise.race([done, pause(waitForHashMs)]);
  }

  remove(): Promise<void> {
    return rm(this.home, { recursive: true, force: true });
  }
}
