import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { federate } from './federation.js';
import { readMuriCluster, readMuriOverheads, readMuriTrace } from './read-muri.js';
import { readOpenbNodes, readOpenbPods } from './read-openb.js';
import { phillyWindowMs, readPhillyTrace } from './read-philly.js';
import type { TraceProblem } from './read-table.js';
import { replayFederation } from './replay-federation.js';
import { simulateMuri } from './simulate-muri.js';
import { simulateOpenb } from './simulate-openb.js';

const root = fileURLToPath(new URL('../../../../', import.meta.url));
const traces = join(
  process.env['BEAMTIME_DATA'] ? resolve(process.env['BEAMTIME_DATA']) : join(root, '..', 'shared', 'data'),
  'traces',
);
const present = existsSync(join(traces, 'muri', 'published.json'));
if (!present)
  console.warn(`No traces in ${traces}: set BEAMTIME_DATA to check the replays against published results.`);

function read<T>(
  file: string,
  reader: (text: string) => { ok: true; value: T } | { ok: false; error: TraceProblem },
): T {
  const result = reader(readFileSync(join(traces, file), 'utf8'));
  if (!result.ok) throw new Error(`${file}: ${result.error.detail}`);
  return result.value;
}

/** A part of them; `npm run conformance:scheduling` takes every published cell. */
describe.skipIf(!present)('against published results', { timeout: 120_000 }, () => {
  it.each([
    ['trace1', 'SRTF', 'srtf'],
    ['trace1', 'SRSF', 'srsf'],
    ['trace1_pr', 'SRSF', 'srsf'],
    ['trace1', 'Tiresias_L', 'tiresias'],
  ] as const)('Muri %s, %s: every cell within 1e-5', (trace, name, rank) => {
    const cluster = read('muri/n8g8.csv', readMuriCluster);
    const overheads = read('muri/published.json', readMuriOverheads);
    const jobs = read(`muri/${trace}.csv`, (text) => readMuriTrace(text, cluster));
    const ours = simulateMuri(jobs, cluster, overheads, rank, 1);
    const published = JSON.parse(readFileSync(join(traces, 'muri', 'published.json'), 'utf8')) as Record<
      string,
      Record<string, Record<'mean_jct_s' | 'makespan_s' | 'p99_jct_s', number>>
    >;
    for (const cell of ['mean_jct_s', 'makespan_s', 'p99_jct_s'] as const)
      expect(Math.abs(ours[cell] / (published[trace]?.[name]?.[cell] ?? 0) - 1), cell).toBeLessThan(1e-5);
  });

  it('openb: FGD allocates what was published, and our packing more', () => {
    const nodes = read('openb/openb_node_list_gpu_node.csv', readOpenbNodes);
    const pods = read('openb/openb_pod_list_default.csv', readOpenbPods);
    const fgd = simulateOpenb(nodes, pods, 'fgd', 42);
    const ours = simulateOpenb(nodes, pods, 'beamtime', 42);
    expect(Math.abs(fgd.gpu_allocated_pct_at_100_arrived - 95.23)).toBeLessThan(0.7);
    expect(Math.abs(fgd.gpu_allocated_pct_at_130_arrived - 95.39)).toBeLessThan(0.7);
    expect(ours.gpu_allocated_pct_at_130_arrived).toBeGreaterThan(95.39);
    expect(ours.gpu_allocated_pct_at_130_arrived).toBeGreaterThan(fgd.gpu_allocated_pct_at_130_arrived);
  });

  it('FED-Philly at load 0.85: labs alone as published; together nobody is worse off, and the promises hold', () => {
    const trace = read('philly/jobs.csv', readPhillyTrace);
    const federation = federate(trace, phillyWindowMs, {
      load: 0.85,
      copies: 1,
      outages: false,
      inflate: null,
    });
    const alone = replayFederation(federation, 'silo', 42);
    const waits = [alone.mean_wait_s, alone.p50_wait_s, alone.p90_wait_s, alone.p99_wait_s];
    expect(waits.map(Math.round)).toEqual([97_228, 52_683, 222_666, 870_677]);
    const ours = replayFederation(federation, 'beamtime', 42);
    expect(ours.jobs).toBe(73_555);
    expect(ours.labs_worse_off).toBe(0);
    expect(ours.mean_wait_s).toBeLessThanOrEqual(3_000);
    expect(ours.p99_wait_s).toBeLessThanOrEqual(30_000);
    const deliveredGpuSeconds =
      federation.jobs.reduce((sum, job) => sum + job.durationMs * job.gpus, 0) / 1000;
    expect(ours.lost_gpu_s / deliveredGpuSeconds).toBeLessThanOrEqual(0.005);
    expect(replayFederation(federation, 'beamtime', 42)).toEqual(ours);
  });
});
