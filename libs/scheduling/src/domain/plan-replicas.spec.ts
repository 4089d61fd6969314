import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { heardMs, type LiveReplica, planReplicas, restartAfterMs } from './plan-replicas.js';

const replica = (more: Partial<LiveReplica> & { jobId: string }): LiveReplica => ({
  replica: 1,
  isWaiting: false,
  isConnected: true,
  inFlight: 0,
  leavingForMs: null,
  secondsLeft: 3_000,
  ...more,
});

/** Live replicas as the database can have them: those that do not leave have numbers of their own. */
const anyLive: fc.Arbitrary<LiveReplica[]> = fc
  .array(
    fc.record({
      ofPerson: fc.boolean(),
      isWaiting: fc.boolean(),
      isConnected: fc.boolean(),
      inFlight: fc.nat(20),
      leavingForMs: fc.option(fc.nat(400_000)),
      secondsLeft: fc.option(fc.nat(3_600)),
    }),
    { maxLength: 12 },
  )
  .map((all) =>
    all.map(({ ofPerson, ...one }, at) => ({
      ...one,
      jobId: `job_${String(at).padStart(2, '0')}`,
      replica: ofPerson ? null : at + 1,
      // Nobody makes a person's job leave, and what waits is connected to nothing.
      leavingForMs: ofPerson ? null : one.leavingForMs,
      isConnected: one.isConnected && !one.isWaiting,
      secondsLeft: one.isWaiting ? null : one.secondsLeft,
    })),
  );
const anyWanted = fc.nat(10);

describe('a plan for the replicas of a model', () => {
  it('ends with as many as are wanted, but for what people have submitted', () => {
    fc.assert(
      fc.property(anyWanted, anyLive, (wanted, live) => {
        const plan = planReplicas(wanted, live);
        const gone = new Set(plan.leave.map((one) => one.jobId));
        const back = new Map(plan.takeBack.map((one) => [one.jobId, one.replica]));
        const staying = live.filter(
          (one) => (one.leavingForMs === null && !gone.has(one.jobId)) || back.has(one.jobId),
        );
        const ofPeople = staying.filter((one) => one.replica === null);
        const lasting = staying.filter((one) => one.secondsLeft === null || one.secondsLeft >= 240);
        const after = lasting.length + plan.start.length;
        expect(after).toBeGreaterThanOrEqual(wanted);
        expect(after).toBeLessThanOrEqual(Math.max(wanted, ofPeople.length));
        // A number is live once.
        const numbers = [
          ...staying.flatMap((one) => back.get(one.jobId) ?? one.replica ?? []),
          ...plan.start,
        ];
        expect(new Set(numbers).size).toBe(numbers.length);
        for (const number of plan.start) expect(number).toBeLessThanOrEqual(wanted);
      }),
    );
  });

  it('never starts and lets go at the same time for want of replicas, and ends only who leaves', () => {
    fc.assert(
      fc.property(anyWanted, anyLive, (wanted, live) => {
        const plan = planReplicas(wanted, live);
        const lets = plan.leave.filter(({ reason }) => reason.includes('enough'));
        expect(lets.length === 0 || plan.start.length + plan.takeBack.length === 0).toBe(true);
        for (const jobId of plan.end) {
          expect(live.find((one) => one.jobId === jobId)?.leavingForMs).not.toBeNull();
          expect(plan.takeBack.map((one) => one.jobId)).not.toContain(jobId);
        }
      }),
    );
  });

  it('lets go of those that have not begun, then of the least used, then of the newest', () => {
    const live = [
      replica({ jobId: 'job_1', replica: 1, inFlight: 2 }),
      replica({ jobId: 'job_2', replica: 2, inFlight: 5 }),
      replica({ jobId: 'job_3', replica: 3, inFlight: 2 }),
      replica({ jobId: 'job_4', replica: 4, isWaiting: true, isConnected: false, secondsLeft: null }),
    ];
    const left = (wanted: number) => planReplicas(wanted, live).leave.map((one) => one.jobId);
    expect(left(3)).toEqual(['job_4']);
    expect(left(2)).toEqual(['job_4', 'job_3']);
    expect(left(1)).toEqual(['job_4', 'job_3', 'job_1']);
  });

  it('ends who leaves when its requests are done, and in any case after three minutes', () => {
    const ends = (more: Partial<LiveReplica>) =>
      planReplicas(1, [
        replica({ jobId: 'job_1' }),
        replica({ jobId: 'job_2', replica: 2, leavingForMs: heardMs, ...more }),
      ]).end.length;
    expect(ends({})).toBe(1);
    expect(ends({ inFlight: 1 })).toBe(0);
    expect(ends({ inFlight: 1, leavingForMs: 180_000 })).toBe(1);
    // A gateway may not have heard yet.
    expect(ends({ leavingForMs: heardMs - 1 })).toBe(0);
    // Its agent was lost: nothing is to be begun anew.
    expect(ends({ isWaiting: true, isConnected: false, leavingForMs: 0 })).toBe(1);
  });

  it('has a successor ready before it ends one whose time is nearly over', () => {
    const old = replica({ jobId: 'job_1', secondsLeft: 200 });
    const first = planReplicas(1, [old]);
    expect(first).toMatchObject({ start: [1], leave: [{ jobId: 'job_1' }], end: [] });
    const leaving = { ...old, leavingForMs: 60_000 };
    const next = replica({ jobId: 'job_2', isConnected: false });
    expect(planReplicas(1, [leaving, next])).toEqual({ start: [], takeBack: [], leave: [], end: [] });
    expect(planReplicas(1, [leaving, { ...next, isConnected: true }]).end).toEqual(['job_1']);
  });

  it('takes back who still leaves before it starts another, and leaves jobs of people alone', () => {
    const leaving = replica({ jobId: 'job_2', replica: 2, leavingForMs: 5_000 });
    const plan = planReplicas(3, [replica({ jobId: 'job_1' }), leaving]);
    expect(plan).toEqual({ start: [3], takeBack: [{ jobId: 'job_2', replica: 2 }], leave: [], end: [] });
    const ofPerson = replica({ jobId: 'job_0', replica: null });
    expect(planReplicas(1, [ofPerson])).toEqual({ start: [], takeBack: [], leave: [], end: [] });
    expect(planReplicas(0, [ofPerson])).toEqual({ start: [], takeBack: [], leave: [], end: [] });
  });
});

it('a replica that fails again and again is started ever less often', () => {
  expect([0, 1, 2, 3, 6, 50].map(restartAfterMs)).toEqual([0, 10_000, 20_000, 40_000, 300_000, 300_000]);
});
