/** GPUs of a job as a decision sees them: of an elastic one the fewest that it runs with, and how many it asks for. */
export interface GpuRange {
  readonly gpus: number;
  /** Absent: exactly `gpus`. */
  readonly gpusMost?: number;
}

export function isElastic({ gpus, gpusMost = gpus }: GpuRange): boolean {
  return gpusMost > gpus;
}

/**
 * With how many GPUs a job can run, most first: with all that it asks for, or with half of them, halved as often as that
 * comes out even and leaves no fewer than it needs. Halves, since a training that shares its batch among as many
 * processes as GPUs adds up the same sums in the same order with half of them (`team.py`): its weights are the same bits.
 */
export function sizesOf({ gpus, gpusMost = gpus }: GpuRange): number[] {
  const sizes = [gpusMost];
  for (let size = gpusMost; size % 2 === 0 && size / 2 >= gpus; ) {
    size /= 2;
    sizes.push(size);
  }
  return sizes;
}

/**
 * Running time with some of its GPUs, as the time that the same work takes with all of them. Time bounds, what a job has
 * had, and its place in the schedule of its lab alone count in that: otherwise a job would be the poorer for having
 * begun small. The work is taken to go on in proportion to the GPUs.
 */
export function timeWithAll(time: number, gpus: number, gpusMost: number): number {
  return gpus === gpusMost ? time : (time * gpus) / gpusMost;
}

/** How long it takes with some of its GPUs what takes `time` with all of them. */
export function timeWithSome(time: number, gpus: number, gpusMost: number): number {
  return gpus === gpusMost ? time : (time * gpusMost) / gpus;
}

/** A time bound of an attempt with some of the GPUs, in whole seconds: what of it is left, never beyond what may be told. */
export function boundWithSome(
  seconds: number,
  gpus: number,
  gpusMost: number,
  secondsAtMost: number,
): number {
  return Math.min(secondsAtMost, Math.ceil(timeWithSome(seconds, gpus, gpusMost)));
}
