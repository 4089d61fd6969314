/**
 * What is due at a time, the earliest first; what is due at the same time comes in no particular order. Times lie in a
 * column of their own, so that sifting through a hundred thousand of them touches little memory.
 */
export class TimeHeap<T> {
  private times = new Float64Array(16);
  private readonly items: T[] = [];

  get size(): number {
    return this.items.length;
  }

  /** When the first is due; infinity when there is none. */
  get nextMs(): number {
    return this.items.length === 0 ? Number.POSITIVE_INFINITY : (this.times[0] as number);
  }

  push(atMs: number, item: T): void {
    const { items } = this;
    let at = items.length;
    if (at === this.times.length) this.grow();
    const { times } = this;
    items.push(item);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = times[parent] as number;
      if (atMs >= above) break;
      times[at] = above;
      items[at] = items[parent] as T;
      at = parent;
    }
    times[at] = atMs;
    items[at] = item;
  }

  pop(): T | undefined {
    const { items, times } = this;
    const first = items[0];
    const last = items.pop();
    const size = items.length;
    if (size === 0 || last === undefined) return first;
    const lastMs = times[size] as number;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      if (child + 1 < size && (times[child + 1] as number) < (times[child] as number)) child++;
      const below = times[child] as number;
      if (below >= lastMs) break;
      times[at] = below;
      items[at] = items[child] as T;
      at = child;
    }
    times[at] = lastMs;
    items[at] = last;
    return first;
  }

  private grow(): void {
    const times = new Float64Array(2 * this.times.length);
    times.set(this.times);
    this.times = times;
  }
}
