import { beamtime, type SharesPolicy } from '../domain/policy.js';
import type { Federation, FederationJob } from './federation.js';
import { type SimulationReport, timesOf } from './metrics.js';
import { simulateFederation } from './simulate-federation.js';
import { simulateSilos } from './simulate-silos.js';

export const federationPolicies = ['silo', 'fifo', 'share', 'beamtime'] as const;
export type FederationPolicy = (typeof federationPolicies)[number];

const plain: SharesPolicy = {
  ...beamtime,
  levelsGpuSeconds: [],
  preempt: false,
  guarantee: false,
  raiseAfterMs: null,
  reserveAfterMs: null,
};

/** All labs in one queue, nobody passes anybody; and the owner first that runs least for its share, non-preemptive. */
const policies: Readonly<Record<Exclude<FederationPolicy, 'silo'>, SharesPolicy>> = {
  fifo: { ...plain, order: 'arrival', backfill: false },
  share: { ...plain, order: 'share' },
  beamtime,
};

export interface FederationReport extends SimulationReport {
  /** Jobs that ended more than an hour later than they would have in their lab alone. */
  readonly jobs_an_hour_later: number;
  readonly decisions: number;
}

/** Replays a federation under one policy, and compares each lab with what it would have had alone. */
export function replayFederation(
  federation: Federation,
  policy: FederationPolicy,
  seed: number,
  onProgress: (ended: number, all: number) => void = () => undefined,
): FederationReport {
  const silos = simulateSilos(federation);
  const run = policy === 'silo' ? silos : simulateFederation(federation, policies[policy], seed, onProgress);
  const { jobs, gpusOfLabs } = federation;
  const times = timesOf({
    submittedSeconds: Float64Array.from(jobs, ({ submitMs }) => submitMs / 1000),
    endedSeconds: run.endMs.map((ms) => ms / 1000),
    durationSeconds: Float64Array.from(jobs, ({ durationMs }) => durationMs / 1000),
  });
  const servedGpuSeconds = jobs.reduce((sum, job) => sum + (job.durationMs / 1000) * job.gpus, 0);
  const gpus = gpusOfLabs.reduce((sum, one) => sum + one, 0);
  const labs = labsOf(federation, run.endMs, silos.endMs);
  return {
    ...times,
    utilisation: servedGpuSeconds / (gpus * times.makespan_s),
    preemptions: run.preemptions,
    lost_gpu_s: run.lostGpuMs / 1000,
    labs,
    labs_worse_off: Object.values(labs).filter(({ ratio }) => ratio > 1).length,
    jobs_an_hour_later: jobs.filter(
      (_, index) => (run.endMs[index] ?? 0) > (silos.endMs[index] ?? 0) + 3_600_000,
    ).length,
    decisions: run.decisions,
  };
}

function labsOf(federation: Federation, endMs: Float64Array, silos: Float64Array): SimulationReport['labs'] {
  const sums = federation.labIds.map(() => ({ jobs: 0, ms: 0, siloMs: 0 }));
  for (const [index, job] of federation.jobs.entries()) {
    const sum = sums[job.lab];
    if (sum === undefined) continue;
    sum.jobs++;
    sum.ms += (endMs[index] ?? 0) - (job as FederationJob).submitMs;
    sum.siloMs += (silos[index] ?? 0) - job.submitMs;
  }
  return Object.fromEntries(
    sums.map(({ jobs, ms, siloMs }, lab) => [
      federation.labIds[lab] ?? '',
      {
        mean_jct_s: ms / 1000 / Math.max(1, jobs),
        silo_jct_s: siloMs / 1000 / Math.max(1, jobs),
        ratio: siloMs === 0 ? 1 : ms / siloMs,
      },
    ]),
  );
}
