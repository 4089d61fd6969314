import { ownUser, type SlurmCommands } from './commands.js';
import { type QueueEntry, queueFormat, readQueue } from './queue.js';

/** What squeue said of our jobs, at a moment of performance.now(). */
export interface QueueView {
  readonly askedAtMs: number;
  /** By name and task, all there are: more than one when a submission of unclear end was repeated. */
  readonly entries: ReadonlyMap<string, readonly QueueEntry[]>;
}

export const taskKey = (name: string, index: number): string => `${name} ${index}`;

/**
 * One squeue for all programs of this agent, now and then: many attempts look often, and slurmctld serves a whole
 * site. Programs that have ended are seen by their own file, so an answer may be seconds old.
 */
export class QueueWatch {
  private view: QueueView | undefined;
  private failure: string | undefined;
  private asking: Promise<void> | undefined;
  private askedAtMs = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly commands: SlurmCommands,
    private readonly prefix: string,
    private readonly everyMs: number,
    /** Told of each new view, before anybody else acts by it. */
    private readonly onView: (view: QueueView) => void,
  ) {}

  /** The last answer; asks again in the background when it is old. Waits only when there was none ever. */
  async latest(): Promise<{ view: QueueView | undefined; failure: string | undefined }> {
    if (performance.now() - this.askedAtMs >= this.everyMs) void this.ask();
    if (this.view === undefined && this.failure === undefined) await this.asking;
    return { view: this.view, failure: this.failure };
  }

  /** An answer to a question that was asked after this call; undefined when Slurm does not answer. */
  async fresh(): Promise<QueueView | undefined> {
    const calledAtMs = performance.now();
    while (this.askedAtMs < calledAtMs) await this.ask();
    return this.failure === undefined ? this.view : undefined;
  }

  get failing(): string | undefined {
    return this.failure;
  }

  private ask(): Promise<void> {
    this.asking ??= this.askNow().finally(() => {
      this.asking = undefined;
    });
    return this.asking;
  }

  private async askNow(): Promise<void> {
    const askedAtMs = performance.now();
    const args = ['--noheader', '--array', '--states=all', `--user=${ownUser()}`, `--format=${queueFormat}`];
    const answer = await this.commands.run('squeue', args);
    this.askedAtMs = askedAtMs;
    if (answer.kind !== 'done') {
      this.failure = answer.detail;
      return;
    }
    const entries = new Map<string, QueueEntry[]>();
    for (const entry of readQueue(answer.stdout, this.prefix)) {
      const key = taskKey(entry.name, entry.index);
      entries.set(key, [...(entries.get(key) ?? []), entry]);
    }
    this.failure = undefined;
    this.view = { askedAtMs, entries };
    this.onView(this.view);
  }
}
