/** Failures that an address may have in a window: room for a person who mistypes, none for a program that guesses. */
const failuresAtMost = 10;
const windowMs = 60_000;
/** Addresses remembered; beyond it the oldest is forgotten, so that a flood of addresses cannot fill the memory. */
const addressesAtMost = 10_000;

/** Slows down guessing. Only failures count: programs that log many people in are no attack. */
export class LoginThrottle {
  private readonly windows = new Map<string, { failures: number; endsMs: number }>();

  constructor(private readonly nowMs: () => number = () => performance.now()) {}

  /** Whether this address must wait. */
  blocks(address: string): boolean {
    const window = this.windows.get(address);
    return window !== undefined && window.endsMs > this.nowMs() && window.failures >= failuresAtMost;
  }

  failed(address: string): void {
    const nowMs = this.nowMs();
    const window = this.windows.get(address);
    if (window !== undefined && window.endsMs > nowMs) {
      window.failures += 1;
      return;
    }
    this.windows.delete(address);
    const oldest = this.windows.keys().next();
    if (this.windows.size >= addressesAtMost && oldest.done !== true) this.windows.delete(oldest.value);
    this.windows.set(address, { failures: 1, endsMs: nowMs + windowMs });
  }

  get size(): number {
    return this.windows.size;
  }
}
