interface Waiting<Work, Outcome> {
  readonly work: Work;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: unknown) => void;
}

export interface GroupCommitOptions<Work, Outcome> {
  /** Does these works in one transaction; answers each, in order. A throw means that none was done. */
  readonly commit: (works: readonly Work[]) => Promise<readonly Outcome[]>;
  /** How much a work counts against `sizeAtMost`. */
  readonly sizeOf: (work: Work) => number;
  /** Of one transaction; a single larger work goes alone. */
  readonly sizeAtMost: number;
  /** Transactions at the same time: while one waits for the disk, the next one computes. */
  readonly atOnce: number;
}

/**
 * Lets works that arrive together share a transaction: while one commits, the next gathers, and a lone one does not
 * wait. Each keeps its own answer. Should a transaction break as a whole, its works go one by one, so that one cannot
 * take the others down; every work must therefore be harmless to repeat.
 */
export class GroupCommit<Work, Outcome> {
  private waiting: Waiting<Work, Outcome>[] = [];
  private running = 0;

  constructor(private readonly options: GroupCommitOptions<Work, Outcome>) {}

  submit(work: Work): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ work, resolve, reject });
      if (this.running < this.options.atOnce) void this.commitUntilEmpty();
    });
  }

  private async commitUntilEmpty(): Promise<void> {
    this.running += 1;
    // What arrives in the same turn of the event loop goes along.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.waiting.length > 0) {
      const batch = this.takeBatch();
      try {
        await this.commit(batch);
      } catch (error) {
        if (batch.length === 1) batch[0]?.reject(error);
        else for (const one of batch) await this.commit([one]).catch(one.reject);
      }
    }
    this.running -= 1;
  }

  private takeBatch(): Waiting<Work, Outcome>[] {
    let size = 0;
    let count = 0;
    for (const { work } of this.waiting) {
      size += this.options.sizeOf(work);
      if (count > 0 && size > this.options.sizeAtMost) break;
      count += 1;
    }
    return this.waiting.splice(0, count);
  }

  private async commit(batch: readonly Waiting<Work, Outcome>[]): Promise<void> {
    const outcomes = await this.options.commit(batch.map(({ work }) => work));
    for (const [i, one] of batch.entries()) one.resolve(outcomes[i] as Outcome);
  }
}
