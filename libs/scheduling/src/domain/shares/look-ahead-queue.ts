/**
 * A queue of which only the first few are looked at: in turn, each that fits is taken, and those behind move up. What
 * lies further back costs nothing, however much it is.
 */
export class LookAheadQueue<T> {
  private inView: T[] = [];
  private behind: T[] = [];
  /** Those before it have moved into view. */
  private behindFrom = 0;

  constructor(private readonly lookAhead: number) {}

  /** Puts an item at the end. */
  push(item: T): void {
    (this.inView.length < this.lookAhead ? this.inView : this.behind).push(item);
  }

  /** The same, when nothing in view fits: only the item itself is tried, if it can be seen. */
  pushOrTake(item: T, take: (item: T) => boolean): void {
    if (this.inView.length >= this.lookAhead || !take(item)) this.push(item);
  }

  /** Takes what can be taken, in turn, while there is room for anything at all. */
  takeWhatFits(hasRoom: () => boolean, take: (item: T) => boolean): void {
    const { inView } = this;
    let kept = 0;
    let at = 0;
    for (; at < inView.length && hasRoom(); at++) {
      const item = inView[at] as T;
      if (!take(item)) inView[kept++] = item;
    }
    if (kept === at) return;
    while (at < inView.length) inView[kept++] = inView[at++] as T;
    inView.length = kept;
    while (inView.length < this.lookAhead && this.behindFrom < this.behind.length) {
      const item = this.behind[this.behindFrom++] as T;
      if (!hasRoom() || !take(item)) inView.push(item);
    }
    this.dropPassed();
  }

  /** Puts all in another order. */
  sort(compare: (a: T, b: T) => number): void {
    const all = [...this.inView, ...this.behind.slice(this.behindFrom)].sort(compare);
    this.inView = all.slice(0, this.lookAhead);
    this.behind = all.slice(this.lookAhead);
    this.behindFrom = 0;
  }

  private dropPassed(): void {
    if (this.behindFrom < 1_024 || 2 * this.behindFrom < this.behind.length) return;
    this.behind = this.behind.slice(this.behindFrom);
    this.behindFrom = 0;
  }
}
