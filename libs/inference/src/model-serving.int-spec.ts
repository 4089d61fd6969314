import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type HoldId, type JobId, type ModelId, ok } from '@beamtime/kernel';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { ModelServing } from './model-serving.js';
import type { Metering } from './ports.js';
import type { ServedModels } from './postgres/served-models.js';
import { runMetered } from './run-metered.js';
import type { TunnelConnection } from './tunnel/tunnel-connection.js';
import { TunnelHub } from './tunnel/tunnel-hub.js';

const modelId = 'mdl_00000000000000000000000000' as ModelId;
const call = { method: 'POST', path: '/completions', body: {} } as const;
const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

type Play = (socket: WebSocket, id: number) => void;
const answering =
  (name: string): Play =>
  (socket, id) => {
    socket.send(JSON.stringify({ type: 'head', id, status: 200, headers: {} }));
    const frame = Buffer.from(`0000{"by":"${name}"}`);
    frame.writeUInt32BE(id);
    socket.send(frame);
    socket.send(JSON.stringify({ type: 'end', id }));
  };

let hub: TunnelHub;
let serving: ModelServing;
/** Names of replicas, in the order in which they were asked. */
let asked: string[];
let connections: Map<string, TunnelConnection>;
beforeEach(() => {
  hub = new TunnelHub();
  const served = { use: () => Promise.resolve() } as unknown as ServedModels;
  serving = new ModelServing(hub, served, hub.meter, 300);
  asked = [];
  connections = new Map();
});

/** A replica whose agent a test plays. */
async function replica(name: string, play: Play = answering(name)) {
  const server = createServer();
  const jobId = `job_${name}` as JobId;
  new WebSocketServer({ server }).on('connection', (socket) => {
    connections.set(name, hub.add(socket, { jobId, attempt: 1, clusterId: 'clu_x', modelId }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const socket = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
  closers.push(() => {
    socket.terminate();
    server.close();
  });
  await new Promise((resolve) => socket.once('open', resolve));
  socket.send(JSON.stringify({ type: 'hello', revisions: ['step1'] }));
  socket.on('message', (data) => {
    const { type, id } = JSON.parse(String(data)) as { type: string; id: number };
    if (type !== 'request') return;
    asked.push(name);
    play(socket, id);
  });
  await expect.poll(() => hub.list().some((one) => one.jobId === jobId)).toBe(true);
  return socket;
}

const ask = () => serving.callJson<{ by: string }>(modelId, call);

describe('requests to a model with several replicas', () => {
  it('go to each in turn while all have the same in flight, and to the least busy otherwise', async () => {
    for (const name of ['a', 'b', 'c']) await replica(name);
    for (let at = 0; at < 6; at++) expect(await ask()).toMatchObject({ ok: true });
    expect([...asked].sort()).toEqual(['a', 'a', 'b', 'b', 'c', 'c']);
    expect(new Set(asked.slice(0, 3)).size).toBe(3);
    const busy = await replica('d', () => undefined);
    // The one whose turn it is now is the new one, and it keeps what it gets.
    const kept = ask();
    await expect.poll(() => asked.filter((name) => name === 'd').length).toBe(1);
    for (let at = 0; at < 6; at++) await ask();
    expect(asked.filter((name) => name === 'd')).toHaveLength(1);
    busy.terminate();
    expect(await kept).toMatchObject({ ok: true });
  });

  it('do not go to one that leaves, unless it is the only one', async () => {
    await replica('staying');
    await replica('leaving');
    for (const [name, connection] of connections) connection.isLeaving = name === 'leaving';
    for (let at = 0; at < 4; at++) await ask();
    expect(asked).toEqual(['staying', 'staying', 'staying', 'staying']);
    for (const connection of connections.values()) connection.isLeaving = true;
    expect(await ask()).toMatchObject({ ok: true });
  });

  it('are tried once at another replica when the connection breaks before anything was answered', async () => {
    await replica('breaks', (socket) => socket.terminate());
    await replica('works');
    const answers = [await ask(), await ask()];
    expect(answers).toMatchObject([
      { ok: true, value: { by: 'works' } },
      { ok: true, value: { by: 'works' } },
    ]);
    expect(asked.filter((name) => name === 'breaks')).toHaveLength(1);
  });

  it('are not tried a third time, and fail with a problem when both have broken', async () => {
    for (const name of ['a', 'b', 'c']) await replica(name, (socket) => socket.terminate());
    expect(await ask()).toMatchObject({ ok: false, error: { code: 'inference.runner-failed' } });
    expect(asked).toHaveLength(2);
  });

  it('are not tried again once something was answered, when the caller has gone, or when it took too long', async () => {
    await replica('a', (socket, id) => {
      socket.send(JSON.stringify({ type: 'head', id, status: 200, headers: {} }));
      setTimeout(() => socket.terminate(), 20);
    });
    await replica('b', (socket, id) => {
      socket.send(
        JSON.stringify({ type: 'failed', id, code: 'timeout', detail: 'no answer within 120000 ms' }),
      );
    });
    expect(await ask()).toMatchObject({ ok: false });
    expect(asked).toHaveLength(1);
    expect(await ask()).toMatchObject({ ok: false });
    expect(asked).toHaveLength(2);
    await replica('c', () => undefined);
    await replica('d', () => undefined);
    const gone = new AbortController();
    const left = serving.callJson(modelId, { ...call, signal: gone.signal });
    await expect.poll(() => asked.length).toBe(3);
    gone.abort();
    expect(await left).toMatchObject({ ok: false });
    expect(asked).toHaveLength(3);
  });

  it('are charged once, however many replicas were tried', async () => {
    const entries: string[] = [];
    const book: Metering = {
      hold: ({ amount }) => {
        entries.push(`hold ${amount}`);
        return Promise.resolve(ok('hld_1' as HoldId));
      },
      post: (_, used) => Promise.resolve(void entries.push(`post ${used}`)),
      release: () => Promise.resolve(void entries.push('release')),
      grantedModels: () => Promise.resolve(['*']),
    };
    const metered = () =>
      runMetered(book, {
        requestId: 'r',
        caller: { allocationId: 'alc_1', personId: 'per_1', scopes: ['outputs'] } as never,
        target: { modelId, modelName: 'm', revision: 'step1' } as never,
        scope: 'outputs',
        unit: 'output_tokens',
        atMost: 10,
        work: async () => {
          const answer = await ask();
          return answer.ok ? ok({ value: answer.value, used: 4 }) : answer;
        },
      });
    await replica('breaks', (socket) => socket.terminate());
    await replica('works');
    expect(await metered()).toMatchObject({ ok: true });
    expect(await metered()).toMatchObject({ ok: true });
    expect(asked.filter((name) => name === 'breaks')).toHaveLength(1);
    expect(entries).toEqual(['hold 10', 'post 4', 'hold 10', 'post 4']);
  });

  it('count as load: at their replica while they are answered, and as waiting while there is none', async () => {
    const waiting = ask();
    await expect.poll(() => hub.loads()).toMatchObject([{ modelId, jobId: null, inFlight: 1 }]);
    expect(await waiting).toMatchObject({ ok: false, error: { code: 'inference.model-warming-up' } });
    let finish: () => void = () => undefined;
    await replica('slow', (socket, id) => {
      finish = () => answering('slow')(socket, id);
    });
    hub.loads();
    // It is told that it is there, also while it has nothing to do.
    expect(hub.loads()).toMatchObject([{ jobId: 'job_slow', inFlight: 0, meanInFlight: 0 }]);
    const answer = ask();
    await expect.poll(() => asked).toEqual(['slow']);
    expect(hub.loads()).toMatchObject([{ jobId: 'job_slow', inFlight: 1 }]);
    finish();
    expect(await answer).toMatchObject({ ok: true, value: { by: 'slow' } });
    hub.loads();
    expect(hub.loads()).toMatchObject([{ jobId: 'job_slow', inFlight: 0 }]);
  });
});
