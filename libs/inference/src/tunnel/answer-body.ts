/** Bytes taken by the reader before more credit is sent: few messages, no stall. */
const creditEveryBytes = 1_048_576;

/** The body of one answer as it arrives. Whoever made it hears what the reader has taken, and whether it went away. */
export class AnswerBody implements AsyncIterable<Uint8Array> {
  private readonly chunks: Uint8Array[] = [];
  private wake: (() => void) | undefined;
  private over = false;
  private failure: Error | undefined;
  private taken = 0;
  private read = false;

  constructor(
    private readonly onCredit: (bytes: number) => void,
    private readonly onLeft: () => void,
  ) {}

  push(bytes: Uint8Array): void {
    if (this.over) return;
    this.chunks.push(bytes);
    this.wake?.();
  }

  end(): void {
    this.over = true;
    this.wake?.();
  }

  fail(error: Error): void {
    this.failure ??= error;
    this.end();
  }

  /** Once only. Leaving the loop early tells the other side to stop sending. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    if (this.read) throw new Error('the body of an answer is read once');
    this.read = true;
    try {
      for (;;) {
        const chunk = this.chunks.shift();
        if (chunk !== undefined) {
          this.note(chunk.byteLength);
          yield chunk;
        } else if (this.failure !== undefined) {
          throw this.failure;
        } else if (this.over) {
          return;
        } else {
          await new Promise<void>((resolve) => {
            this.wake = resolve;
          });
        }
      }
    } finally {
      if (!this.over) this.onLeft();
      this.chunks.length = 0;
    }
  }

  private note(bytes: number): void {
    this.taken += bytes;
    if (this.taken < creditEveryBytes || this.over) return;
    this.onCredit(this.taken);
    this.taken = 0;
  }
}
