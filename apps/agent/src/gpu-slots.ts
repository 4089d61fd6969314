const wholeMilli = 1_000;

/** GPUs that a program has here, and how much of them; given back as they were taken. */
export interface GpuGrant {
  readonly indices: readonly number[];
  readonly shareMilli: number;
}

/** A GPU of this cluster that programs share. */
interface Shared {
  readonly index: number;
  /** The facility's number for it. */
  readonly slot: number;
  freeMilli: number;
}

/** Which GPUs of this cluster are free. */
export class GpuSlots {
  private readonly taken = new Set<number>();
  private readonly shared = new Map<number, Shared>();

  constructor(private total: number) {}

  get count(): number {
    return this.total;
  }

  /** A batch system has more or fewer of them now; what is taken stays so until it is given back. */
  resize(count: number): void {
    this.total = count;
  }

  /** The lowest free ones, or null if there are too few. */
  take(gpus: number): GpuGrant | null {
    if (gpus > this.total - this.taken.size) return null;
    const indices: number[] = [];
    for (let index = 0; indices.length < gpus; index++) if (!this.taken.has(index)) indices.push(index);
    for (const index of indices) this.taken.add(index);
    return { indices, shareMilli: wholeMilli };
  }

  /**
   * A part of the GPU to which the facility gave this number: the one that others of the number are on, else the lowest
   * free one. Null while it has too little left, as when a program has ended for the facility and not yet here.
   */
  takeShare(slot: number, shareMilli: number): GpuGrant | null {
    let gpu = [...this.shared.values()].find((one) => one.slot === slot);
    if (gpu === undefined) {
      const [index] = this.take(1)?.indices ?? [];
      if (index === undefined) return null;
      gpu = { index, slot, freeMilli: wholeMilli };
      this.shared.set(index, gpu);
    }
    if (gpu.freeMilli < shareMilli) return null;
    gpu.freeMilli -= shareMilli;
    return { indices: [gpu.index], shareMilli };
  }

  giveBack({ indices, shareMilli }: GpuGrant): void {
    for (const index of indices) {
      const gpu = this.shared.get(index);
      if (gpu !== undefined) {
        gpu.freeMilli += shareMilli;
        if (gpu.freeMilli < wholeMilli) continue;
        this.shared.delete(index);
      }
      this.taken.delete(index);
    }
  }
}
