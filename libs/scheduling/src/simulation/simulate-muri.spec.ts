import { describe, expect, it } from 'vitest';
import type { MuriJob } from './read-muri.js';
import { simulateMuri } from './simulate-muri.js';

const cluster = { switches: 1, nodesPerSwitch: 1, gpusPerNode: 8 };
const overheads = { 8: { known: 5 } };

function job(
  name: string,
  gpus: number,
  submittedSeconds: number,
  seconds: number,
  model = 'known',
): MuriJob {
  return { name, gpus, submittedSeconds, iterations: seconds, secondsPerIteration: 1, model };
}

describe('a replay of Muri', () => {
  it('lets a job alone run for what it takes, with no overhead', () => {
    expect(simulateMuri([job('a', 8, 10, 100)], cluster, overheads, 'srtf', 1)).toMatchObject({
      jobs: 1,
      mean_jct_s: 100,
      mean_wait_s: 0,
      makespan_s: 110,
      preemptions: 0,
      lost_gpu_s: 0,
    });
  });

  it('preempts the longer for the shorter, and charges the overhead at every event to whoever runs', () => {
    // a runs 40 s, of which 5 are overhead, gives way to b for 30 s, and has 65 s left.
    const report = simulateMuri([job('a', 8, 0, 100), job('b', 8, 40, 30)], cluster, overheads, 'srtf', 1);
    expect(report).toMatchObject({
      preemptions: 1,
      makespan_s: 135,
      mean_jct_s: (135 + 30) / 2,
      lost_gpu_s: 5 * 8,
      utilisation: 1,
    });
  });

  it('takes ten seconds where the table has no entry', () => {
    const jobs = [job('a', 8, 0, 100, 'unheard-of'), job('b', 8, 40, 30)];
    expect(simulateMuri(jobs, cluster, overheads, 'srtf', 1).makespan_s).toBe(140);
  });

  it('moves a job of Tiresias down once it has had its GPU-seconds, and lets the fresh one pass', () => {
    // After 3,250 GPU-seconds, 407 s on 8 GPUs, the long job falls behind the one that came later. It pays 5 s at its
    // arrival, at its fall and once more when it has had 7,200.
    const jobs = [job('long', 8, 0, 1000), job('fresh', 8, 100, 50)];
    const report = simulateMuri(jobs, cluster, overheads, 'tiresias', 1);
    expect(report).toMatchObject({ preemptions: 1, mean_jct_s: (1065 + 357) / 2, makespan_s: 1065 });
  });

  it('keeps a gang within a switch', () => {
    const two = { switches: 2, nodesPerSwitch: 1, gpusPerNode: 4 };
    const jobs = [job('a', 3, 0, 100, 'x'), job('b', 3, 0, 200, 'x'), job('c', 2, 0, 300, 'x')];
    // c finds one free GPU in each switch and waits for a to end; when b ends it pays 10 s.
    expect(simulateMuri(jobs, two, {}, 'srtf', 1).makespan_s).toBe(410);
  });

  it('tells the same twice, whatever the seed', () => {
    const jobs = Array.from({ length: 60 }, (_, at) =>
      job(`${at}`, 1 + (at % 8), at * 7, 100 + ((at * 37) % 90)),
    );
    const once = simulateMuri(jobs, cluster, overheads, 'srsf', 1);
    expect(simulateMuri(jobs, cluster, overheads, 'srsf', 1)).toEqual(once);
    expect(simulateMuri(jobs, cluster, overheads, 'srsf', 2)).toEqual(once);
  });
});
