import fc from 'fast-check';
import { expect, it } from 'vitest';
import { GpuRoom, QuotaRoom, quotaKeysOf } from './quota.js';

const any = { maxUnfinishedJobs: null, maxGpusAtOnce: null };
const job = { labId: 'lab_a', suiteId: null, studyId: 'stu_a', submittedBy: 'per_a' };

it('a job stands under the quotas of its lab, its person and its projects', () => {
  expect(quotaKeysOf(job)).toEqual(['lab/lab_a', 'person/per_a', 'project/stu_a']);
  expect(quotaKeysOf({ ...job, labId: null, suiteId: 'sui_a' })).toEqual([
    'person/per_a',
    'project/sui_a',
    'project/stu_a',
  ]);
});

it('room is taken one by one, and the quota without room is named', () => {
  const lab = { scope: 'lab' as const, subject: 'lab_a', ...any, maxUnfinishedJobs: 3, unfinishedJobs: 1 };
  const person = {
    scope: 'person' as const,
    subject: 'per_b',
    ...any,
    maxUnfinishedJobs: 0,
    unfinishedJobs: 4,
  };
  const room = new QuotaRoom([lab, person]);
  expect(room.exceededBy(job, 1)).toBeUndefined();
  room.take(job);
  room.take(job);
  expect(room.exceededBy(job, 1)).toMatchObject({
    quota: { scope: 'lab', maxUnfinishedJobs: 3 },
    by: 'jobs',
  });
  expect(room.exceededBy({ ...job, labId: 'lab_b' }, 1)).toBeUndefined();
  expect(room.exceededBy({ ...job, labId: 'lab_b', submittedBy: 'per_b' }, 1)).toMatchObject({
    quota: { scope: 'person' },
  });
});

it('a quota of GPUs refuses only what alone is larger, however many jobs there are', () => {
  const study = { scope: 'project' as const, subject: 'stu_a', ...any, maxGpusAtOnce: 8, unfinishedJobs: 0 };
  const room = new QuotaRoom([study]);
  for (let n = 0; n < 100; n++) room.take(job);
  expect(room.exceededBy(job, 8)).toBeUndefined();
  expect(room.exceededBy(job, 9)).toMatchObject({ quota: { subject: 'stu_a' }, by: 'gpus' });
  expect(room.exceededBy({ ...job, studyId: null }, 9)).toBeUndefined();
  expect(room.gpuQuotasOf(job)).toEqual(['project/stu_a']);
});

it('GPUs are taken under all quotas of a job or under none, and no quota is passed', () => {
  const keys = ['lab/lab_a', 'person/per_a', 'project/stu_a', 'project/sui_a'];
  const quotas = fc.uniqueArray(
    fc.record({
      key: fc.constantFrom(...keys),
      gpus: fc.integer({ min: 0, max: 20 }),
      usedGpus: fc.integer({ min: 0, max: 25 }),
    }),
    { selector: ({ key }) => key },
  );
  const jobs = fc.array(fc.record({ keys: fc.subarray(keys), gpus: fc.integer({ min: 1, max: 8 }) }));
  fc.assert(
    fc.property(quotas, jobs, (given, wishes) => {
      const room = new GpuRoom(given);
      const granted = wishes.filter((wish) => room.take(wish.keys, wish.gpus));
      for (const { key, gpus, usedGpus } of given) {
        const got = granted.filter((one) => one.keys.includes(key)).reduce((sum, one) => sum + one.gpus, 0);
        expect(got).toBeLessThanOrEqual(Math.max(0, gpus - usedGpus));
      }
      for (const wish of wishes.filter((one) => !granted.includes(one)))
        expect(room.of(wish.keys)).toBeLessThan(wish.gpus);
    }),
  );
});
