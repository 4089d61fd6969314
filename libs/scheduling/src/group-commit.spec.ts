import { describe, expect, it } from 'vitest';
import { GroupCommit } from './group-commit.js';

function together(commit: (works: readonly number[]) => Promise<readonly number[]>, sizeAtMost = 10) {
  return new GroupCommit<number, number>({ commit, sizeOf: () => 1, sizeAtMost, atOnce: 1 });
}

describe('works that arrive together', () => {
  it('share a commit, in order, and each gets its own answer', async () => {
    const commits: number[][] = [];
    const group = together((works) => {
      commits.push([...works]);
      return Promise.resolve(works.map((work) => work * 10));
    });
    expect(await Promise.all([1, 2, 3].map((work) => group.submit(work)))).toEqual([10, 20, 30]);
    expect(await group.submit(4)).toBe(40);
    expect(commits).toEqual([[1, 2, 3], [4]]);
  });

  it('gather while one commits, up to the size of a commit', async () => {
    const commits: number[][] = [];
    const group = together(async (works) => {
      commits.push([...works]);
      await new Promise((resolve) => setTimeout(resolve, 5));
      return works;
    }, 2);
    await Promise.all([1, 2, 3, 4, 5].map((work) => group.submit(work)));
    expect(commits).toEqual([[1, 2], [3, 4], [5]]);
  });

  it('go one by one when a commit breaks, so that one does not take the others down', async () => {
    const group = together((works) =>
      works.includes(2) ? Promise.reject(new Error('two')) : Promise.resolve(works),
    );
    const outcomes = await Promise.allSettled([1, 2, 3].map((work) => group.submit(work)));
    expect(outcomes.map((outcome) => outcome.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(await group.submit(4)).toBe(4);
  });
});
