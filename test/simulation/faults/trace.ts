import { createHash } from 'node:crypto';

/** What happened in a world, in order: two runs of one seed are the same if, and only if, these are. */
export class Trace {
  events = 0;
  private readonly digest = createHash('sha256');

  constructor(
    /** Also gets every line; for finding where two runs part. */
    private readonly onLine?: (line: string) => void,
  ) {}

  note(line: string): void {
    this.events++;
    this.digest.update(line).update('\n');
    this.onLine?.(line);
  }

  /** SHA-256 of all lines so far; nothing can be noted afterwards. */
  close(): string {
    return this.digest.digest('hex');
  }
}
