/**
 * The lease of one attempt, by a clock that cannot be set. It is counted from when the renewal was *sent*, so that
 * this side always believes it to end earlier than the server does.
 */
export class Lease {
  private endsAtMs: number;

  constructor(
    sentAtMs: number,
    ttlMs: number,
    private stopMarginMs: number,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.endsAtMs = sentAtMs + ttlMs;
  }

  renew(sentAtMs: number, ttlMs: number, stopMarginMs: number): void {
    this.stopMarginMs = stopMarginMs;
    // Answers may overtake each other.
    this.endsAtMs = Math.max(this.endsAtMs, sentAtMs + ttlMs);
  }

  /** Until the lease itself ends; this side stops earlier. */
  leftMs(): number {
    return Math.max(0, this.endsAtMs - this.now());
  }

  /** Whether the attempt has to stop now, so that it is over when the lease is. */
  mustStop(): boolean {
    return this.now() >= this.endsAtMs - this.stopMarginMs;
  }
}
