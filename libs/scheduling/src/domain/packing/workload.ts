/** What a kind of job asks for. */
export interface Ask {
  readonly cpuMilli: number;
  readonly gpus: number;
  readonly gpuShareMilli: number;
  /** Types of GPU it accepts; empty: any. */
  readonly gpuTypes: readonly string[];
  /** Its part of all jobs, 0 to 1. */
  readonly share: number;
}
