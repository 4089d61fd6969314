import { createServer } from 'node:net';
import { expect, it } from 'vitest';
import { openDataSource } from '../database/open-data-source.js';
import { explainFailedStart } from './explain-failed-start.js';
import { ConfigError } from './load-config.js';

it('says in one line which database does not answer, without its password, and that it may be tried again', async () => {
  // A port that was free a moment ago.
  const probe = createServer();
  const port = await new Promise<number>((resolve) =>
    probe.listen(0, '127.0.0.1', () => resolve((probe.address() as { port: number }).port)),
  );
  await new Promise((resolve) => probe.close(resolve));
  const failure = await openDataSource(`postgres://ada:hidden@127.0.0.1:${port}/beam`, []).catch(
    (error: unknown) => error,
  );
  expect(explainFailedStart(failure)).toEqual({
    exitCode: 69,
    text: `DATABASE_URL: no connection to PostgreSQL at 127.0.0.1:${port}/beam as ada: connect ECONNREFUSED 127.0.0.1:${port}`,
  });
});

it('says in one line that the port is taken', async () => {
  const holder = createServer();
  await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve));
  const { port } = holder.address() as { port: number };
  const failure = await new Promise((resolve) =>
    createServer().once('error', resolve).listen(port, '127.0.0.1'),
  );
  holder.close();
  expect(explainFailedStart(failure)).toEqual({
    exitCode: 78,
    text: `BEAMTIME_HOST, PORT: cannot listen on 127.0.0.1:${port}, another program listens there.`,
  });
});

it('keeps the stack of what nobody foresaw', () => {
  const { exitCode, text } = explainFailedStart(new Error('a broken invariant'));
  expect(exitCode).toBe(1);
  expect(text).toContain('explain-failed-start.spec');
  expect(explainFailedStart(new ConfigError('PORT: wrong'))).toEqual({ exitCode: 78, text: 'PORT: wrong' });
});
