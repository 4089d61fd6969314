import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { platformForTest, type TestPlatform } from './platform-for-test.js';

// Here and not in platform: a library's tests may not lean on the testkit, which stands on it.
let platform: TestPlatform;
beforeAll(async () => {
  platform = await platformForTest([]);
});
afterAll(() => platform.close());
beforeEach(async () => {
  await platform.transactor.read.rows('DROP TABLE IF EXISTS public.thing');
  await platform.transactor.read.rows('CREATE TABLE public.thing (id int)');
  await platform.transactor.read.rows('INSERT INTO public.thing VALUES (1)');
});

const often = 50;
const everything = 'SELECT * FROM public.thing WHERE id = $1';

async function readOften(): Promise<void> {
  for (let i = 0; i < often; i++) await platform.transactor.do((tx) => tx.rows(everything, [1]));
}

describe('statements that come again and again', () => {
  it('are prepared by each connection that meets them', async () => {
    await readOften();
    const prepared = await platform.transactor.do(async (tx) => {
      await tx.rows(everything, [1]);
      return tx.rows<{ statement: string }>('SELECT statement FROM pg_prepared_statements');
    });
    expect(prepared.map(({ statement }) => statement)).toContain(everything);
  });

  it('are prepared anew, and no caller sees it, when a table has got another column', async () => {
    await readOften();
    await platform.transactor.read.rows('ALTER TABLE public.thing ADD COLUMN colour text');
    expect(await platform.transactor.do((tx) => tx.rows(everything, [1]))).toEqual([{ id: 1, colour: null }]);
    await readOften();
    await platform.transactor.read.rows('ALTER TABLE public.thing ADD COLUMN weight int');
    // As many reads as the pool has connections, which all remember the old columns.
    const reads = await Promise.all(
      Array.from({ length: 12 }, () => platform.transactor.read.rows(everything, [1])),
    );
    expect(reads.flat()).toEqual(Array.from({ length: 12 }, () => ({ id: 1, colour: null, weight: null })));
  });

  it('are sent as they are when several stand in one text', async () => {
    for (let i = 0; i < often; i++) {
      await platform.transactor.do((tx) =>
        tx.rows('UPDATE public.thing SET id = id; UPDATE public.thing SET id = id'),
      );
    }
    expect(await platform.transactor.read.rows(everything, [1])).toEqual([{ id: 1 }]);
  });
});
