import { err, type HoldId, ok, problem } from '@beamtime/kernel';
import { describe, expect, it } from 'vitest';
import type { Metering } from './ports.js';
import { type MeteredWork, runMetered } from './run-metered.js';

/** A ledger that remembers what was done to one hold. */
class Book implements Metering {
  readonly entries: string[] = [];
  constructor(private readonly covered: number) {}
  hold({ amount }: { amount: number }) {
    if (amount > this.covered)
      return Promise.resolve(err(problem('access.insufficient-units' as const, 'too much')));
    this.entries.push(`hold ${amount}`);
    return Promise.resolve(ok('hld_1' as HoldId));
  }
  post(_: HoldId, used: number) {
    this.entries.push(`post ${used}`);
    return Promise.resolve();
  }
  release() {
    this.entries.push('release');
    return Promise.resolve();
  }
  grantedModels() {
    return Promise.resolve(['*']);
  }
}

function request(work: MeteredWork<string>['work'], atMost = 10): MeteredWork<string> {
  return {
    requestId: 'r',
    caller: { allocationId: 'alc_1', personId: 'per_1', scopes: ['outputs'] } as never,
    target: { modelId: 'mdl_1', modelName: 'm', revision: 'step1' } as never,
    scope: 'outputs',
    unit: 'output_tokens',
    atMost,
    work,
  };
}

describe('a metered request', () => {
  it('holds before it runs and posts what it used', async () => {
    const book = new Book(10);
    const done = await runMetered(
      book,
      request(() => {
        book.entries.push('run');
        return Promise.resolve(ok({ value: 'answer', used: 4 }));
      }),
    );
    expect(done).toMatchObject({ ok: true, value: { usage: { held: 10, posted: 4 } } });
    expect(book.entries).toEqual(['hold 10', 'run', 'post 4']);
  });

  it('does not run, and costs nothing, when the allocation does not cover it', async () => {
    const book = new Book(5);
    const done = await runMetered(
      book,
      request(() => Promise.reject(new Error('ran'))),
    );
    expect(done).toMatchObject({ ok: false, error: { code: 'access.insufficient-units' } });
    expect(book.entries).toEqual([]);
  });

  it('releases the hold when the work fails or throws', async () => {
    const failing = new Book(10);
    await runMetered(
      failing,
      request(() => Promise.resolve(err(problem('inference.runner-failed', 'broken')))),
    );
    expect(failing.entries).toEqual(['hold 10', 'release']);
    const throwing = new Book(10);
    await expect(
      runMetered(
        throwing,
        request(() => Promise.reject(new Error('crash'))),
      ),
    ).rejects.toThrow('crash');
    expect(throwing.entries).toEqual(['hold 10', 'release']);
  });

  it('posts no more than was held, whatever the work claims', async () => {
    const book = new Book(10);
    await runMetered(
      book,
      request(() => Promise.resolve(ok({ value: 'x', used: 99 }))),
    );
    expect(book.entries).toEqual(['hold 10', 'post 10']);
  });
});
