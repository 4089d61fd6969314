import { problemDetails, type Transactor } from '@beamtime/platform';
import { platformForTest, type TestPlatform } from '@beamtime/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

let at: TestPlatform;
beforeAll(async () => {
  at = await platformForTest([]);
});
afterAll(() => at.close());

/** Ends the connection with this process id, and waits until the server has done it. */
async function terminate(transactor: Transactor, pid: number): Promise<void> {
  await transactor.read.rows('SELECT pg_terminate_backend($1, 5000)', [pid]);
}
const caught = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'nothing',
    (error: unknown) => error,
  );
const pidOf = async (tx: { row: Transactor['read']['row'] }): Promise<number> =>
  (await tx.row<{ pid: number }>('SELECT pg_backend_pid() AS pid'))?.pid ?? 0;

describe('a request whose connection to PostgreSQL is lost', () => {
  it('is told to come again, when the loss is found by a statement', async () => {
    const error = await caught(
      at.transactor.do(async (tx) => {
        await terminate(at.transactor, await pidOf(tx));
        await tx.rows('SELECT 1');
      }),
    );
    expect(problemDetails(error)).toMatchObject({ code: 'server.unavailable', status: 503 });
  });

  it('is told the same when it is lost while a statement runs', async () => {
    const error = await caught(
      at.transactor.do(async (tx) => {
        const pid = await pidOf(tx);
        const running = tx.rows('SELECT pg_sleep(30)');
        const ended = terminate(at.transactor, pid);
        await Promise.all([running, ended]);
      }),
    );
    expect(problemDetails(error)).toMatchObject({ code: 'server.unavailable', status: 503 });
  });

  it('is told the same when nothing but the commit was left to do', async () => {
    const error = await caught(
      at.transactor.do(async (tx) => {
        await terminate(at.transactor, await pidOf(tx));
        // The driver hears of it meanwhile, and gives the connection up.
        await new Promise((resolve) => setTimeout(resolve, 100));
      }),
    );
    expect(problemDetails(error)).toMatchObject({ code: 'server.unavailable', status: 503 });
  });
});
