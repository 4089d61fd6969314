import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Federation, type FederationJob } from '../../simulation/federation.js';
import { simulateFederation } from '../../simulation/simulate-federation.js';
import { decide } from '../decide.js';
import { entitlements } from '../entitlements.js';
import { beamtime } from '../policy.js';
import type { RunningJob, Snapshot, SnapshotCluster, WaitingJob } from '../snapshot.js';

const hourMs = 3_600_000;
const nowMs = 1_800_000_000_000;

function running(jobId: string, owner: string, gpus: number, more: Partial<RunningJob> = {}): RunningJob {
  const request = {
    kind: 'train',
    owner,
    gpus,
    gpuType: null,
    gpuMemoryMiB: null,
    maxSeconds: 10_000_000,
  } as const;
  const startedMs = nowMs - 2 * hourMs;
  const times = { submittedMs: startedMs, startedMs, savedMs: nowMs };
  return { jobId, attempt: 1, ...request, ...times, preemptible: true, ...more };
}

function waiting(jobId: string, owner: string, gpus: number, more: Partial<WaitingJob> = {}): WaitingJob {
  const request = {
    kind: 'train',
    owner,
    gpus,
    gpuType: null,
    gpuMemoryMiB: null,
    maxSeconds: 10_000_000,
  } as const;
  return {
    jobId,
    ...request,
    priority: 0,
    submittedMs: nowMs,
    retryAtMs: null,
    avoid: [],
    preemptible: true,
    ...more,
  };
}

function snapshotOf(guests: readonly RunningJob[], queue: readonly WaitingJob[]): Snapshot {
  const busyGpus: Record<string, number> = {};
  for (const { owner, gpus } of guests) busyGpus[owner] = (busyGpus[owner] ?? 0) + gpus;
  const cluster: SnapshotCluster = {
    clusterId: 'a',
    name: 'a',
    labId: 'lab-a',
    state: 'active',
    capacity: {
      gpus: 4,
      gpuType: 'h100',
      gpuMemoryMiB: null,
      policy: {
        kinds: ['train'],
        labIds: null,
        consortium: true,
        gpusPerJobMax: null,
        secondsPerJobMax: null,
        hoursUtc: null,
      },
    },
    busyGpus,
    running: guests,
  };
  const owners = entitlements([cluster], [], new Map(), ['lab-a', 'lab-b']);
  return { clusters: [cluster], waiting: queue, owners };
}

const new4 = { clusterId: null, startedMs: null, servedMs: 0 };

describe('who is asked to leave', () => {
  it('is a guest, when a job of the lab would be running there by now', () => {
    const guests = [running('guest', 'lab-b', 2), running('own', 'lab-a', 2)];
    const { place, preempt } = decide(
      snapshotOf(guests, [waiting('ours', 'lab-a', 2, { shadow: new4 })]),
      nowMs,
      1,
    );
    expect(place).toEqual([]);
    expect(preempt.map(({ jobId }) => jobId)).toEqual(['guest']);
    expect(preempt[0]?.reason).toContain('lab of ours');
  });

  it('is a guest also when that job would be running there since long before this decision', () => {
    const since = { clusterId: 'a', startedMs: nowMs - hourMs, servedMs: 0 };
    const { preempt } = decide(
      snapshotOf([running('guest', 'lab-b', 4)], [waiting('ours', 'lab-a', 2, { shadow: since })]),
      nowMs,
      1,
    );
    expect(preempt.map(({ jobId }) => jobId)).toEqual(['guest']);
  });

  it('is not one that would be running at home as long by now', () => {
    const since = { clusterId: 'a', startedMs: nowMs - 2 * hourMs, servedMs: 100 * hourMs };
    const own = running('own', 'lab-a', 4, { servedMs: 100 * hourMs, shadow: since });
    expect(decide(snapshotOf([own], [waiting('fresh', 'lab-b', 1)]), nowMs, 1).preempt).toEqual([]);
  });

  it('is nobody while enough is being vacated already, and nobody else gets that', () => {
    const guests = [running('guest', 'lab-b', 4, { leaving: true })];
    const queue = [waiting('ours', 'lab-a', 4, { shadow: new4 }), waiting('other', 'lab-b', 1)];
    expect(decide(snapshotOf(guests, queue), nowMs, 1)).toMatchObject({ place: [], preempt: [] });
  });

  it('is one who has had much, for one who has had little; never the other way round', () => {
    const long = running('long', 'lab-b', 4, { servedMs: 100 * hourMs });
    const fresh = waiting('fresh', 'lab-b', 1);
    expect(decide(snapshotOf([long], [fresh]), nowMs, 1).preempt.map(({ jobId }) => jobId)).toEqual(['long']);
    const young = running('young', 'lab-b', 4, { startedMs: nowMs - 600_000 });
    const old = waiting('old', 'lab-b', 1, { servedMs: 100 * hourMs });
    expect(decide(snapshotOf([young], [old]), nowMs, 1).preempt).toEqual([]);
  });

  it('is not one that cannot save its state, or has only just begun', () => {
    const fresh = waiting('fresh', 'lab-b', 1);
    const stuck = running('stuck', 'lab-b', 4, { servedMs: 100 * hourMs, preemptible: false });
    expect(decide(snapshotOf([stuck], [fresh]), nowMs, 1).preempt).toEqual([]);
    const begun = running('begun', 'lab-b', 4, { servedMs: 100 * hourMs, startedMs: nowMs - 60_000 });
    expect(decide(snapshotOf([begun], [fresh]), nowMs, 1).preempt).toEqual([]);
  });

  it('loses the least of those who may', () => {
    const guests = [1, 2, 3, 4].map((n) =>
      running(`guest-${n}`, 'lab-b', 1, { servedMs: 100 * hourMs, savedMs: nowMs - n * 10_000 }),
    );
    const { preempt } = decide(snapshotOf(guests, [waiting('fresh', 'lab-b', 1)]), nowMs, 1);
    expect(preempt.map(({ jobId }) => jobId)).toEqual(['guest-1']);
  });
});

/** Federations of a few labs with jobs that come in bursts. */
const someFederation = fc
  .record({
    gpus: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 2, maxLength: 4 }),
    jobs: fc.array(
      fc.record({
        lab: fc.nat(),
        at: fc.integer({ min: 0, max: 40 }),
        hours: fc.integer({ min: 1, max: 60 }),
        gpus: fc.integer({ min: 1, max: 6 }),
      }),
      { minLength: 1, maxLength: 40 },
    ),
  })
  .map(({ gpus, jobs }): Federation => {
    const all: FederationJob[] = jobs.map((job) => {
      const lab = job.lab % gpus.length;
      const most = gpus[lab] ?? 1;
      return {
        submitMs: job.at * 600_000,
        durationMs: (job.hours * hourMs) / 4,
        gpus: Math.min(job.gpus, most),
        lab,
      };
    });
    all.sort((a, b) => a.submitMs - b.submitMs);
    return { labIds: gpus.map((_, lab) => `lab-${lab}`), gpusOfLabs: gpus, jobs: all, outages: [] };
  });

describe('a federation', () => {
  it('ends every job, and is the same for the same seed', () => {
    fc.assert(
      fc.property(someFederation, fc.integer({ min: 0, max: 1_000 }), (federation, seed) => {
        const first = simulateFederation(federation, beamtime, seed);
        const again = simulateFederation(federation, beamtime, seed);
        expect(again).toEqual(first);
        for (const [index, job] of federation.jobs.entries())
          expect(first.endMs[index]).toBeGreaterThanOrEqual(job.submitMs + job.durationMs);
      }),
      { numRuns: 60 },
    );
  });
});
