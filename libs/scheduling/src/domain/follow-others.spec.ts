import { describe, expect, it } from 'vitest';
import { followOthers, type NamedJob, whyCancelled } from './follow-others.js';

const known = (...jobs: [string, NamedJob['state'], number?][]) =>
  new Map(jobs.map(([jobId, state, followers = 0]) => [jobId, { jobId, state, followers }]));

describe('following others', () => {
  it('waits for those that have not ended, each once, and keeps those that have succeeded', () => {
    const jobs = known(['a', 'queued'], ['b', 'running'], ['c', 'succeeded']);
    expect(followOthers(['a', 'c', 'a', 'b'], jobs, 10)).toEqual({
      kind: 'follows',
      open: ['a', 'b'],
      met: ['c'],
    });
  });

  it('is refused behind what will never succeed, is not known, or has too many followers', () => {
    const jobs = known(['a', 'failed'], ['b', 'cancelled'], ['c', 'running', 10]);
    expect(followOthers(['a'], jobs, 10)).toEqual({ kind: 'never', jobId: 'a', state: 'failed' });
    expect(followOthers(['b'], jobs, 10)).toEqual({ kind: 'never', jobId: 'b', state: 'cancelled' });
    expect(followOthers(['d'], jobs, 10)).toEqual({ kind: 'unknown', jobId: 'd' });
    expect(followOthers(['c'], jobs, 10)).toEqual({ kind: 'crowded', jobId: 'c' });
    expect(followOthers(['c'], jobs, 11)).toMatchObject({ kind: 'follows' });
  });

  it('says behind which one a job was cancelled', () => {
    expect(whyCancelled({ jobId: 'job_1', state: 'failed' })).toBe('it follows job_1, which failed');
    expect(whyCancelled({ jobId: 'job_1', state: 'cancelled' })).toBe(
      'it follows job_1, which was cancelled',
    );
  });
});
