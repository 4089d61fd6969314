/** Which GPUs of this cluster are free. */
export class GpuSlots {
  private readonly taken = new Set<number>();

  constructor(private total: number) {}

  get count(): number {
    return this.total;
  }

  /** A batch system has more or fewer of them now; what is taken stays so until it is given back. */
  resize(count: number): void {
    this.total = count;
  }

  /** The lowest free ones, or null if there are too few. */
  take(gpus: number): number[] | null {
    if (gpus > this.total - this.taken.size) return null;
    const indices: number[] = [];
    for (let index = 0; indices.length < gpus; index++) if (!this.taken.has(index)) indices.push(index);
    for (const index of indices) this.taken.add(index);
    return indices;
  }

  giveBack(indices: readonly number[]): void {
    for (const index of indices) this.taken.delete(index);
  }
}
