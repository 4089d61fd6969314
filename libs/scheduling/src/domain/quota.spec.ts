import { expect, it } from 'vitest';
import { QuotaRoom, quotaKeysOf } from './quota.js';

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
  const lab = { scope: 'lab' as const, subject: 'lab_a', maxUnfinishedJobs: 3, unfinishedJobs: 1 };
  const person = { scope: 'person' as const, subject: 'per_b', maxUnfinishedJobs: 0, unfinishedJobs: 4 };
  const room = new QuotaRoom([lab, person]);
  expect(room.exceededBy(job)).toBeUndefined();
  room.take(job);
  room.take(job);
  expect(room.exceededBy(job)).toMatchObject({ scope: 'lab', maxUnfinishedJobs: 3 });
  expect(room.exceededBy({ ...job, labId: 'lab_b' })).toBeUndefined();
  expect(room.exceededBy({ ...job, labId: 'lab_b', submittedBy: 'per_b' })).toMatchObject({
    scope: 'person',
  });
});
