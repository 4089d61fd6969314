import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { AgentConfigError, loadAgentConfig } from './agent-config.js';
import { readEvent } from './attempt-run.js';
import { FollowFile } from './follow-file.js';
import { type GpuGrant, GpuSlots } from './gpu-slots.js';
import { Lease } from './lease.js';
import { Offering } from './offering.js';
import { outcomeOf } from './outcome.js';
import { type Offer, refusalOf } from './own-policy.js';

const folder = mkdtempSync(join(tmpdir(), 'beamtime-agent-parts-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('a lease', () => {
  it('is counted from when the renewal was sent, and stops before it ends', () => {
    let nowMs = 1_000;
    const lease = new Lease(nowMs, 8_000, 2_000, () => nowMs);
    nowMs += 5_999;
    expect(lease.mustStop()).toBe(false);
    nowMs += 1;
    expect(lease.mustStop()).toBe(true);
  });

  it('is never shortened by an answer that was overtaken', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 100_000 }), { minLength: 1 }), (sent) => {
        let nowMs = 0;
        const lease = new Lease(0, 10_000, 1_000, () => nowMs);
        for (const sentAtMs of sent) lease.renew(sentAtMs, 10_000, 1_000);
        nowMs = Math.max(0, ...sent) + 8_999;
        expect(lease.mustStop()).toBe(false);
        nowMs += 1;
        expect(lease.mustStop()).toBe(true);
      }),
    );
  });
});

describe('GPU slots', () => {
  it('never give one GPU to two', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 8 }),
        fc.array(fc.integer({ min: 1, max: 5 })),
        (count, wishes) => {
          const slots = new GpuSlots(count);
          const held: GpuGrant[] = [];
          for (const gpus of wishes) {
            const taken = slots.take(gpus);
            if (taken !== null) held.push(taken);
            else if (held.length > 0) slots.giveBack(held.shift() as GpuGrant);
            const busy = held.flatMap(({ indices }) => indices);
            expect(new Set(busy).size).toBe(busy.length);
            expect(busy.every((index) => index >= 0 && index < count)).toBe(true);
          }
          for (const taken of held) slots.giveBack(taken);
          const all = Array.from({ length: count }, (_, index) => index);
          expect(slots.take(count)?.indices).toEqual(all);
        },
      ),
    );
  });
});

describe('shared GPU slots', () => {
  it('are one GPU for those of one number, and never hold more than there is', () => {
    const wish = fc.record({
      slot: fc.integer({ min: 0, max: 3 }),
      hundredths: fc.integer({ min: 10, max: 100 }),
      ends: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), fc.array(wish), (count, wishes) => {
        const slots = new GpuSlots(count);
        const held: { slot: number | null; grant: GpuGrant }[] = [];
        for (const { slot, hundredths, ends } of wishes) {
          const ended = ends ? held.shift() : undefined;
          if (ended !== undefined) slots.giveBack(ended.grant);
          const isWhole = hundredths === 100;
          const grant = isWhole ? slots.take(1) : slots.takeShare(slot, hundredths * 10);
          if (grant !== null) held.push({ slot: isWhole ? null : slot, grant });
          const byIndex = new Map<number, { milli: number; slots: Set<number | null> }>();
          for (const one of held) {
            const index = one.grant.indices[0] as number;
            const known = byIndex.get(index) ?? { milli: 0, slots: new Set() };
            byIndex.set(index, {
              milli: known.milli + one.grant.shareMilli,
              slots: known.slots.add(one.slot),
            });
          }
          for (const [index, { milli, slots: numbers }] of byIndex) {
            expect(index).toBeLessThan(count);
            expect(milli).toBeLessThanOrEqual(1_000);
            expect(numbers.size).toBe(1);
          }
        }
        for (const { grant } of held) slots.giveBack(grant);
        expect(slots.take(count)?.indices).toHaveLength(count);
      }),
    );
  });
});

describe("the agent's own policy", () => {
  const offer: Offer = {
    jobId: `job_${'0'.repeat(26)}`,
    attempt: 1,
    kind: 'train',
    labId: null,
    suiteId: null,
    expiresInMs: 1_000,
    resources: { gpus: 2, maxSeconds: 100, checkpoint: true },
  };
  const policy = {
    kinds: ['train' as const],
    labIds: null,
    consortium: true,
    gpusPerJobMax: null,
    secondsPerJobMax: null,
    hoursUtc: null,
  };
  const own = { gpus: 2, draining: false, hourUtc: 12 };

  it('takes what it admits and says why it does not take the rest', () => {
    expect(refusalOf(offer, policy, own)).toBeNull();
    expect(refusalOf(offer, { ...policy, consortium: false }, own)?.reason).toContain('consortium');
    expect(refusalOf({ ...offer, kind: 'serve' }, policy, own)?.reason).toContain('serve');
    expect(refusalOf(offer, { ...policy, gpusPerJobMax: 1 }, own)?.reason).toContain('1 GPUs');
    expect(refusalOf(offer, { ...policy, secondsPerJobMax: 99 }, own)?.reason).toContain('99 s');
    expect(refusalOf(offer, { ...policy, hoursUtc: { from: 20, to: 6 } }, own)?.reason).toContain('hour');
    expect(refusalOf(offer, { ...policy, hoursUtc: { from: 20, to: 6 } }, { ...own, hourUtc: 3 })).toBeNull();
    expect(refusalOf(offer, policy, { ...own, gpus: 1 })?.reason).toContain('only 1');
    expect(refusalOf(offer, policy, { ...own, draining: true })?.reason).toContain('draining');
    const part = { ...offer, gpuSlot: 0, resources: { ...offer.resources, gpus: 1, gpuShareMilli: 250 } };
    expect(refusalOf(part, policy, own)?.reason).toContain('no GPU is shared here');
    expect(refusalOf(part, { ...policy, gpuParts: 3 }, own)?.reason).toContain('no more than 3 jobs');
    expect(refusalOf(part, { ...policy, gpuParts: 4 }, own)).toBeNull();
    const { gpuSlot: _, ...nowhere } = part;
    expect(refusalOf(nowhere, { ...policy, gpuParts: 4 }, own)?.reason).toContain('of which');
    const ofLab = { ...offer, labId: `lab_${'0'.repeat(26)}` };
    expect(refusalOf(ofLab, { ...policy, labIds: [] }, own)?.reason).toContain('lab');
  });
});

describe('the end of a program', () => {
  const ended = (exitCode: number | null, signal: string | null = null) => ({
    kind: 'train',
    status: { state: 'ended' as const, exitCode, signal },
    wish: undefined,
    failed: undefined,
    stderrTail: 'first\nlast words',
  });

  it('is success when it did its work, even if somebody wished it to stop', () => {
    const wish = { kind: 'cancel' as const, reason: 'enough' };
    expect(outcomeOf({ ...ended(0), wish })).toMatchObject({ state: 'succeeded' });
    expect(outcomeOf({ ...ended(75), wish })).toMatchObject({ state: 'cancelled', reason: 'enough' });
  });

  it('tells what the runner said, or its last words', () => {
    const failed = { code: 'bad-job', detail: 'no heads' };
    expect(outcomeOf({ ...ended(2), failed })).toMatchObject({
      reason: 'bad-job: no heads',
      retriable: false,
    });
    expect(outcomeOf(ended(1)).reason).toContain('last words');
    expect(outcomeOf(ended(null, 'SIGKILL')).reason).toContain('memory');
  });

  it('of the time bound is a failure for training and the natural end of serving', () => {
    const wish = { kind: 'time' as const, reason: 'the time bound is used up' };
    expect(outcomeOf({ ...ended(75), wish })).toMatchObject({ state: 'failed', retriable: false });
    expect(outcomeOf({ ...ended(75), kind: 'serve', wish })).toMatchObject({ state: 'succeeded' });
  });
});

describe('the end of a program of a batch system', () => {
  const causedBy = (
    kind: 'preempted' | 'not-started' | 'time-limit' | 'out-of-memory' | 'node-failed' | 'cancelled',
    job = 'train',
  ) =>
    outcomeOf({
      kind: job,
      status: { state: 'ended', exitCode: null, signal: null, cause: { kind, detail: 'as Slurm says' } },
      wish: undefined,
      failed: undefined,
      stderrTail: '',
    });

  it("goes back when its place was lost, and fails at the job's own bound", () => {
    expect(causedBy('preempted')).toEqual({ state: 'preempted', reason: 'as Slurm says' });
    expect(causedBy('not-started').state).toBe('preempted');
    expect(causedBy('time-limit')).toMatchObject({ state: 'failed', retriable: false });
    expect(causedBy('time-limit', 'serve').state).toBe('succeeded');
    for (const kind of ['out-of-memory', 'node-failed', 'cancelled'] as const)
      expect(causedBy(kind)).toMatchObject({ state: 'failed', retriable: true, reason: 'as Slurm says' });
  });

  it('that vanished is told with the reason', () => {
    const status = { state: 'vanished' as const, reason: 'Slurm no longer knows its job' };
    const outcome = outcomeOf({ kind: 'train', status, wish: undefined, failed: undefined, stderrTail: '' });
    expect(outcome).toMatchObject({ state: 'failed', retriable: true });
    expect(outcome.reason).toContain('Slurm no longer knows its job');
  });
});

describe('what a cluster with a batch system offers', () => {
  const config = (count: number | null) =>
    ({ gpus: { count, type: null, memoryMiB: null } }) as unknown as ConstructorParameters<
      typeof Offering
    >[0];
  const capacity = {
    gpus: 4,
    gpuType: 'a100',
    cpus: 64,
    memoryMiB: 1_000,
    nodes: 1,
    draining: null as string | null,
  };
  const executor = (now: () => typeof capacity) =>
    ({ kind: 'slurm', capacity: () => Promise.resolve(now()) }) as unknown as ConstructorParameters<
      typeof Offering
    >[1];

  it('is what that has; the file lowers it, and a file that claims more is corrected and told', async () => {
    const said: string[] = [];
    const offer = async (count: number | null) => {
      const offering = new Offering(
        config(count),
        executor(() => capacity),
        (_level, words) => said.push(words),
      );
      await offering.refresh();
      return offering.inventory();
    };
    expect(await offer(null)).toMatchObject({ gpus: 4, gpuType: 'a100', cpus: 64, executor: 'slurm' });
    expect((await offer(2)).gpus).toBe(2);
    expect(said.some((words) => words.includes('claims more'))).toBe(false);
    expect((await offer(9)).gpus).toBe(4);
    expect(said.some((words) => words.includes('claims more'))).toBe(true);
  });

  it('drains while no node takes work', async () => {
    let now = { ...capacity, gpus: 0, draining: 'no node takes work' as string | null };
    const offering = new Offering(
      config(null),
      executor(() => now),
      () => undefined,
    );
    await offering.refresh();
    expect(offering.draining).toBe(true);
    now = capacity;
    await offering.refresh();
    expect(offering.draining).toBe(false);
  });
});

describe('a growing file', () => {
  it('is read line by line however it is cut', async () => {
    const file = join(folder, 'out');
    const follow = new FollowFile(file);
    expect(await follow.lines()).toEqual([]);
    writeFileSync(file, 'one\ntw');
    expect(await follow.lines()).toEqual(['one']);
    writeFileSync(file, 'one\ntwo\nthr');
    expect(await follow.lines()).toEqual(['two']);
    expect(await follow.lines(true)).toEqual(['thr']);
  });
});

describe('a line of a runner', () => {
  const jobId = `job_${'0'.repeat(26)}`;
  const line = (fields: object): string =>
    JSON.stringify({
      seq: 0,
      at: new Date().toISOString(),
      jobId,
      attempt: 1,
      kind: 'warning',
      code: 'a',
      detail: 'b',
      ...fields,
    });

  it('is an event only if it is one, and of this attempt', () => {
    expect(readEvent(line({}), jobId, 1)?.kind).toBe('warning');
    expect(readEvent(line({}), jobId, 2)).toBeUndefined();
    expect(readEvent(line({ kind: 'nonsense' }), jobId, 1)).toBeUndefined();
    expect(readEvent('{"half', jobId, 1)).toBeUndefined();
    fc.assert(fc.property(fc.string(), (text) => readEvent(text, jobId, 1) === undefined));
  });
});

describe('the configuration of an agent', () => {
  const load = (text: string, env = {}) => {
    const file = join(folder, 'agent.yaml');
    writeFileSync(file, text);
    return loadAgentConfig(file, env);
  };

  it('resolves paths from its own folder and takes the key from where it says', () => {
    const config = load(
      'facility: http://f.example\nkeyEnv: AGENT_KEY\ngpus: { count: 2 }\nrunner: { command: [./venv/bin/python, -m, beamtime_runner] }',
      { AGENT_KEY: 'bta_secret' },
    );
    expect(config).toMatchObject({ key: 'bta_secret', stateDir: join(folder, 'agent-state') });
    expect(config.runner.command[0]).toBe(join(folder, 'venv/bin/python'));
    expect(config.policy.consortium).toBe(true);
  });

  it('takes Slurm by name or with what a site needs, and knows what may be set', () => {
    const head = 'facility: http://f.example\nkey: bta_secret\n';
    expect(load(`${head}executor: slurm`)).toMatchObject({ executor: { slurm: {} }, gpus: { count: null } });
    const slurm = (text: string) => load(`${head}executor: { slurm: { ${text} } }`).executor;
    expect(slurm('partition: gpu, conf: slurm.conf, options: ["--constraint=a100"]')).toMatchObject({
      slurm: { partition: 'gpu', conf: join(folder, 'slurm.conf'), options: ['--constraint=a100'] },
    });
    expect(() => slurm('options: ["--time=1"]')).toThrow(/--time cannot be set here/);
    expect(() => slurm('partition: "a b"')).toThrow(/partition/);
    expect(() => load(`${head}executor: local`)).toThrow(/gpus.count/);
    expect(() => load(`${head}executor: slurm\ngpus: { devices: [0] }`)).toThrow(/gpus.devices/);
    expect(() => load(`${head}executor: slurm\npolicy: { gpuParts: 2 }`)).toThrow(/policy.gpuParts: Slurm/);
    expect(load(`${head}executor: slurm\npolicy: { gpuParts: 1 }`).policy.gpuParts).toBe(1);
    const local = `${head}gpus: { count: 1 }\n`;
    expect(load(local).policy.gpuParts).toBeUndefined();
    expect(load(`${local}policy: { gpuParts: 4 }`).policy.gpuParts).toBe(4);
    expect(() => load(`${local}policy: { gpuParts: 11 }`)).toThrow(/policy.gpuParts/);
  });

  it('names every fault', () => {
    expect(() => load('gpus: { count: -1 }')).toThrow(AgentConfigError);
    expect(() => load('gpus: { count: -1 }')).toThrow(/facility[\s\S]*gpus.count/);
    expect(() => load('facility: http://f.example\ngpus: { count: 1 }')).toThrow(/exactly one of key/);
    expect(() => load('facility: http://f.example\ngpus: { count: 1, cuont: 2 }\nkey: 12345678')).toThrow(
      /cuont/,
    );
    expect(() => load('a: [')).toThrow(/not YAML/);
    expect(() => loadAgentConfig(join(folder, 'nowhere.yaml'), {})).toThrow(/cannot be read/);
  });
});
