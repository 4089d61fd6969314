import {
  type Federation,
  type FederationReport,
  type FederationWish,
  federate,
  federationPolicies,
  type PhillyJob,
  phillyWindowMs,
  readPhillyTrace,
  replayFederation,
} from '@beamtime/scheduling/simulate';
import type { CliIo } from '../core/cli-io.js';
import { formatFields, formatTable } from '../core/format-table.js';
import { UsageError } from '../core/usage-error.js';
import { findFile, oneOf, readTrace } from './find-data.js';
import type { SimulateOptions } from './simulate-options.js';

export { federationPolicies };

const usualTrace = 'philly/jobs.csv';
const copiesMax = 100;

export async function replayFedPhilly(io: CliIo, options: SimulateOptions, seed: number): Promise<void> {
  const policy = oneOf('--policy of the scenario fed-philly', federationPolicies, options.policy);
  const wish = readWish(options);
  const path = findFile(io, '--trace', options.trace ?? usualTrace);
  const trace = await readTrace(path, readPhillyTrace);
  if (trace.length === 0) throw new UsageError(`${path}: no job was submitted in the window of the scenario`);
  refuseUnknownLab(trace, wish.inflate);
  const replay = (
    federation: Federation,
    label: string,
  ): { report: FederationReport; wallSeconds: number } => {
    const progress = io.progress(label, federation.jobs.length);
    const startedMs = performance.now();
    const report = replayFederation(federation, policy, seed, (ended) => progress.at(ended));
    progress.done();
    return { report, wallSeconds: (performance.now() - startedMs) / 1000 };
  };
  const federation = federate(trace, phillyWindowMs, wish);
  const { report, wallSeconds } = replay(federation, 'Jobs ended');
  const inflating =
    wish.inflate === null
      ? {}
      : {
          inflating: compare(
            wish,
            report,
            replay(federate(trace, phillyWindowMs, { ...wish, inflate: null }), 'Honest: jobs ended').report,
          ),
        };
  const { load, copies, outages } = wish;
  const scenario = { scenario: 'fed-philly', policy, seed, load, copies, outages, inflate: wish.inflate };
  io.show({ ...scenario, ...report, ...inflating, wall_s: wallSeconds }, () =>
    [describe(path, federation, report), ...describeInflating(inflating)].join('\n'),
  );
}

function readWish(options: SimulateOptions): FederationWish {
  const load = Number(options.load ?? '0.85');
  if (!(load > 0 && load <= 1))
    throw new UsageError(`--load must be a number above 0, up to 1, not ${options.load}`);
  const copies = Number(options.copies ?? '1');
  if (!(Number.isInteger(copies) && copies >= 1 && copies <= copiesMax))
    throw new UsageError(`--copies must be a whole number from 1 to ${copiesMax}, not ${options.copies}`);
  return { load, copies, outages: options.outages ?? false, inflate: options.inflate ?? null };
}

function refuseUnknownLab(trace: readonly PhillyJob[], labId: string | null): void {
  const known = [...new Set(trace.map((job) => job.labId))].sort();
  if (labId !== null && !known.includes(labId))
    throw new UsageError(`--inflate must be one of ${known.join(', ')}, not ${labId}`);
}

/** What a lab that asks for twice what it needs has from it. With copies each of them inflates. */
function compare(wish: FederationWish, inflated: FederationReport, honest: FederationReport) {
  const labId = wish.copies === 1 ? (wish.inflate ?? '') : `${wish.inflate}-1`;
  const [ours, before] = [inflated.labs[labId]?.mean_jct_s ?? 0, honest.labs[labId]?.mean_jct_s ?? 0];
  return { lab: labId, mean_jct_s: ours, honest_mean_jct_s: before, gains: ours < before };
}

function describe(path: string, federation: Federation, report: FederationReport): string {
  const seconds = (value: number): string => `${Math.round(value)} s`;
  const servedGpuSeconds = federation.jobs.reduce((sum, job) => sum + (job.durationMs / 1000) * job.gpus, 0);
  return [
    formatFields({
      trace: path,
      jobs: report.jobs,
      labs: `${federation.labIds.length} with ${federation.gpusOfLabs.reduce((sum, one) => sum + one, 0)} GPUs`,
      'mean wait': seconds(report.mean_wait_s),
      'median, 90 %, 99 %': [report.p50_wait_s, report.p90_wait_s, report.p99_wait_s].map(seconds).join(', '),
      'labs worse off than alone': report.labs_worse_off,
      'jobs an hour later than alone': report.jobs_an_hour_later,
      preemptions: report.preemptions,
      'lost by preemption and outages': `${((100 * report.lost_gpu_s) / servedGpuSeconds).toFixed(3)} % of what was delivered`,
    }),
    formatTable(
      ['lab', 'mean completion, s', 'alone, s', 'ratio'],
      Object.entries(report.labs)
        .slice(0, 40)
        .map(([lab, { mean_jct_s, silo_jct_s, ratio }]) => [
          lab,
          Math.round(mean_jct_s),
          Math.round(silo_jct_s),
          Number(ratio.toFixed(3)),
        ]),
    ),
  ].join('\n');
}

function describeInflating({ inflating }: { inflating?: ReturnType<typeof compare> }): string[] {
  if (inflating === undefined) return [];
  const { lab, mean_jct_s, honest_mean_jct_s, gains } = inflating;
  return [
    `${lab} asks for twice the GPUs that it needs: its jobs take ${Math.round(mean_jct_s)} s in the mean, honestly ${Math.round(honest_mean_jct_s)} s; it ${gains ? 'GAINS' : 'gains nothing'}`,
  ];
}
