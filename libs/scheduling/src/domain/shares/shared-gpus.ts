import { wholeGpuMilli } from '../gpu-share.js';

/** A GPU of a cluster that jobs share, by its number in the cluster. */
export interface SharedGpu {
  readonly slot: number;
  readonly freeMilli: number;
}

/**
 * The GPUs of one cluster that jobs share at present. They have numbers, not places: the agent keeps those of one number
 * on one of its GPUs. A GPU is shared from its first job until its last has gone; then it is a free one again.
 */
export class SharedGpus {
  private readonly freeMilli = new Map<number, number>();

  /** How many there are. */
  get count(): number {
    return this.freeMilli.size;
  }

  /** Those that have so much left, by their numbers. */
  withRoom(shareMilli: number): SharedGpu[] {
    const found: SharedGpu[] = [];
    for (const [slot, freeMilli] of this.freeMilli)
      if (freeMilli >= shareMilli) found.push({ slot, freeMilli });
    return found.sort((a, b) => a.slot - b.slot);
  }

  hasRoom(shareMilli: number): boolean {
    for (const freeMilli of this.freeMilli.values()) if (freeMilli >= shareMilli) return true;
    return false;
  }

  /** The least number that none of them has. */
  nextSlot(): number {
    let slot = 0;
    while (this.freeMilli.has(slot)) slot++;
    return slot;
  }

  /** Answers whether that takes another whole GPU. */
  take(slot: number, shareMilli: number): boolean {
    const freeMilli = this.freeMilli.get(slot);
    this.freeMilli.set(slot, (freeMilli ?? wholeGpuMilli) - shareMilli);
    return freeMilli === undefined;
  }

  /** Answers whether the GPU is a whole free one again. */
  giveBack(slot: number, shareMilli: number): boolean {
    const freeMilli = (this.freeMilli.get(slot) ?? wholeGpuMilli) + shareMilli;
    if (freeMilli < wholeGpuMilli) this.freeMilli.set(slot, freeMilli);
    else this.freeMilli.delete(slot);
    return freeMilli >= wholeGpuMilli;
  }
}
