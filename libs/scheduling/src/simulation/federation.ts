import type { PhillyJob } from './read-philly.js';

/** A job of the federation; `lab` is an index into its labs. */
export interface FederationJob {
  readonly submitMs: number;
  readonly durationMs: number;
  readonly gpus: number;
  readonly lab: number;
}

/** A lab's cluster is out from, up to. */
export interface Outage {
  readonly lab: number;
  readonly fromMs: number;
  readonly toMs: number;
}

/** Labs with one cluster each, and what they want to run. */
export interface Federation {
  readonly labIds: readonly string[];
  readonly gpusOfLabs: readonly number[];
  /** By time of submission. */
  readonly jobs: readonly FederationJob[];
  readonly outages: readonly Outage[];
}

export interface FederationRun {
  /** When each job ended, by its index. */
  readonly endMs: Float64Array;
  readonly preemptions: number;
  /** GPU time that was spent on what had to be done again, and on restarts. */
  readonly lostGpuMs: number;
  readonly decisions: number;
}

/** What a restart costs in the scenario: work since the last checkpoint is lost, and this long nothing is done. */
export const checkpointEveryMs = 30 * 60_000;

export function restartOverheadMs(gpus: number): number {
  if (gpus <= 8) return 7_000;
  return gpus <= 32 ? 30_000 : 60_000;
}

export interface FederationWish {
  /** Mean demand over capacity. */
  readonly load: number;
  /** Relabelled copies of the whole, side by side in one consortium. */
  readonly copies: number;
  /** Each cluster is out for a tenth of each week, at a time of its own. */
  readonly outages: boolean;
  /** Id of a lab that asks for twice the GPUs that it needs, for as long. */
  readonly inflate: string | null;
}

const weekMs = 7 * 24 * 3_600_000;
const outOfWeek = 0.1;
const gpusOfMachine = 8;

/**
 * Each virtual cluster becomes a lab with one cluster of max(8, its largest gang, ⌈mean demand / load / 8⌉·8) GPUs.
 * Who inflates does not get a larger cluster for it.
 */
export function federate(
  trace: readonly PhillyJob[],
  windowMs: number,
  { load, copies, outages, inflate }: FederationWish,
): Federation {
  const labIds = [...new Set(trace.map((job) => job.labId))].sort();
  const index = new Map(labIds.map((labId, at) => [labId, at]));
  const demand = labIds.map(() => 0);
  const largest = labIds.map(() => 0);
  const labOf = ({ labId }: PhillyJob): number => index.get(labId) ?? 0;
  for (const job of trace) {
    const lab = labOf(job);
    demand[lab] = (demand[lab] ?? 0) + (job.durationMs * job.gpus) / windowMs;
    largest[lab] = Math.max(largest[lab] ?? 0, job.gpus);
  }
  const gpus = labIds.map((_, lab) =>
    Math.max(
      gpusOfMachine,
      largest[lab] ?? 0,
      Math.ceil((demand[lab] ?? 0) / load / gpusOfMachine - 1e-9) * gpusOfMachine,
    ),
  );
  const inflates = inflate === null ? -1 : (index.get(inflate) ?? -1);
  const jobs = trace.map((job) => {
    const lab = labOf(job);
    const asked = lab === inflates ? Math.min(gpus[lab] ?? job.gpus, 2 * job.gpus) : job.gpus;
    return { submitMs: job.submitMs, durationMs: job.durationMs, gpus: asked, lab };
  });
  const every = Array.from({ length: copies }, (_, copy) => copy);
  const federation = {
    labIds: every.flatMap((copy) => (copies === 1 ? labIds : labIds.map((labId) => `${labId}-${copy + 1}`))),
    gpusOfLabs: every.flatMap(() => gpus),
    // Copies of one job stand side by side, so that the order of submission is kept.
    jobs: jobs.flatMap((job) => every.map((copy) => ({ ...job, lab: job.lab + copy * labIds.length }))),
  };
  return {
    ...federation,
    outages: outages ? outagesOf(federation.gpusOfLabs.length, windowMs) : [],
  };
}

/** Spread over the week by the golden ratio, so that clusters are seldom out together. */
function outagesOf(labs: number, windowMs: number): Outage[] {
  const golden = (Math.sqrt(5) - 1) / 2;
  const lengthMs = outOfWeek * weekMs;
  return Array.from({ length: Math.ceil(windowMs / weekMs) }, (_, week) =>
    Array.from({ length: labs }, (_, lab) => {
      const fromMs = Math.floor(
        week * weekMs + (((lab + 1) * golden + week * 0.37) % 1) * (weekMs - lengthMs),
      );
      return { lab, fromMs, toMs: fromMs + lengthMs };
    }),
  ).flat();
}
