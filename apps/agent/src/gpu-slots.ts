/** Which GPUs of this cluster are free. */
export class GpuSlots {
  private readonly free: number[];

  constructor(readonly count: number) {
    this.free = Array.from({ length: count }, (_, index) => index);
  }

  /** The lowest free ones, or null if there are too few. */
  take(gpus: number): number[] | null {
    if (gpus > this.free.length) return null;
    return this.free.splice(0, gpus);
  }

  giveBack(indices: readonly number[]): void {
    this.free.push(...indices);
    this.free.sort((a, b) => a - b);
  }
}
