/** What a kind of job asks for. */
export interface Ask {
  readonly cpuMilli: number;
  readonly gpus: number;
  /** Of each GPU, in thousandths; 0 without GPUs. */
  readonly gpuShareMilli: number;
  /** Types of GPU it accepts; empty: any. */
  readonly gpuTypes: readonly string[];
  /** Its part of all jobs, 0 to 1. */
  readonly share: number;
}

/** So much of the jobs is covered by the kinds that are kept; rare kinds would only blur the picture. */
const coverage = 0.95;

/** The kinds of job that make up most of a workload, the commonest first. */
export function commonAsks(jobs: readonly Omit<Ask, 'share'>[]): Ask[] {
  const counts = new Map<string, { ask: Omit<Ask, 'share'>; count: number }>();
  for (const ask of jobs) {
    const key = [ask.cpuMilli, ask.gpus, ask.gpuShareMilli, ...ask.gpuTypes].join('/');
    const known = counts.get(key);
    if (known === undefined) counts.set(key, { ask, count: 1 });
    else known.count++;
  }
  const ordered = [...counts.values()].sort((a, b) => b.count - a.count || order(b.ask, a.ask));
  let covered = 0;
  const kept = ordered.filter(({ count }) => {
    const isNeeded = covered < coverage * jobs.length;
    if (isNeeded) covered += count;
    return isNeeded;
  });
  return kept.map(({ ask, count }) => ({ ...ask, share: count / jobs.length / (covered / jobs.length) }));
}

function order(a: Omit<Ask, 'share'>, b: Omit<Ask, 'share'>): number {
  return (
    a.cpuMilli - b.cpuMilli ||
    a.gpuShareMilli - b.gpuShareMilli ||
    a.gpus - b.gpus ||
    (a.gpuTypes.join('|') < b.gpuTypes.join('|') ? -1 : 1)
  );
}
