import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

/** What is known of a program from before its submission on. */
export interface Submission {
  readonly jobId: string;
  readonly attempt: number;
  /** Name of the Slurm job: ours alone, and the same however often it is submitted. */
  readonly name: string;
  readonly index: number;
  readonly submittedAtMs: number;
  /** The partition allows less time than the job may use. */
  readonly timeWasCut: boolean;
}

const beatEveryMs = 5_000;

/**
 * The folder that agent and batch scripts share (`batch-script.ts` says who writes what). It must lie where nodes
 * see it under the same path. What is here is ours; a Slurm job without a folder here is nobody's.
 */
export class ProgramFolders {
  /** Begins the name of each Slurm job of this agent: two agents of one user never touch each other's. */
  readonly prefix: string;
  private beatAtMs = Number.NEGATIVE_INFINITY;

  constructor(readonly root: string) {
    mkdirSync(this.programs, { recursive: true, mode: 0o700 });
    mkdirSync(this.submissions, { recursive: true, mode: 0o700 });
    this.prefix = `beamtime.${this.tag()}.`;
    this.beat();
  }

  get submissions(): string {
    return join(this.root, 'submissions');
  }
  private get programs(): string {
    return join(this.root, 'programs');
  }

  of(program: { readonly jobId: string; readonly attempt: number }): string {
    return join(this.programs, `${program.jobId}.${program.attempt}`);
  }

  newName(): string {
    return `${this.prefix}${Date.now().toString(36)}${randomBytes(3).toString('hex')}`;
  }

  /** Tells the scripts that this agent lives. */
  beat(): void {
    if (performance.now() - this.beatAtMs < beatEveryMs) return;
    this.beatAtMs = performance.now();
    const file = join(this.root, 'heartbeat');
    const now = new Date();
    if (existsSync(file)) utimesSync(file, now, now);
    else writeFileSync(file, '');
  }

  keep(submission: Submission): void {
    writeWhole(join(this.of(submission), 'submission.json'), JSON.stringify(submission));
  }

  read(program: { readonly jobId: string; readonly attempt: number }): Submission | undefined {
    const text = readIfThere(join(this.of(program), 'submission.json'));
    if (text === undefined) return undefined;
    const value = JSON.parse(text) as Partial<Submission>;
    return typeof value.name === 'string' && typeof value.index === 'number'
      ? (value as Submission)
      : undefined;
  }

  all(): Submission[] {
    return readdirSync(this.programs).flatMap((name) => {
      const match = /^(.+)\.(\d+)$/.exec(name);
      if (match?.[1] === undefined) return [];
      const found = this.read({ jobId: match[1], attempt: Number(match[2]) });
      return found === undefined ? [] : [found];
    });
  }

  file(program: { readonly jobId: string; readonly attempt: number }, name: string): string | undefined {
    return readIfThere(join(this.of(program), name));
  }

  has(program: { readonly jobId: string; readonly attempt: number }, name: string): boolean {
    return existsSync(join(this.of(program), name));
  }

  /** Leaves a word for the batch script; nothing happens when the program is forgotten. */
  mark(program: { readonly jobId: string; readonly attempt: number }, name: 'kill' | 'asked'): void {
    try {
      writeFileSync(join(this.of(program), name), '');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }

  /** Where slurmstepd writes what Slurm itself has to say of a task. */
  slurmOutput(submission: Submission): string {
    return join(this.submissions, `${submission.name}.${submission.index}.out`);
  }

  remove(program: { readonly jobId: string; readonly attempt: number }): void {
    const submission = this.read(program);
    if (submission !== undefined) rmSync(this.slurmOutput(submission), { force: true });
    rmSync(this.of(program), { recursive: true, force: true, maxRetries: 5 });
  }

  private tag(): string {
    const file = join(this.root, 'tag');
    const known = readIfThere(file);
    if (known !== undefined && /^[0-9a-f]{12}$/.test(known)) return known;
    const tag = randomBytes(6).toString('hex');
    writeWhole(file, tag);
    return tag;
  }
}

function writeWhole(file: string, text: string): void {
  writeFileSync(`${file}.new`, text, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
