import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tunnelLimits } from '@beamtime/contracts';
import { type JobId, type ModelId, present } from '@beamtime/kernel';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { TunnelHub } from './tunnel-hub.js';

const jobId = 'job_00000000000000000000000000' as JobId;
const modelId = 'mdl_00000000000000000000000000' as ModelId;
const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** A hub with one connected agent that a test plays. */
async function connected(play: (socket: WebSocket, message: Record<string, unknown>) => void) {
  const hub = new TunnelHub();
  const server = createServer();
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket) => {
    hub.add(socket, { jobId, attempt: 1, clusterId: 'clu_x', modelId });
  });
  const port = await listening(server);
  const socket = new WebSocket(`ws://127.0.0.1:${port}`);
  closers.push(() => socket.terminate());
  await new Promise((resolve) => socket.once('open', resolve));
  socket.send(JSON.stringify({ type: 'hello', revisions: ['step1'] }));
  socket.on('message', (data) => play(socket, JSON.parse(String(data)) as Record<string, unknown>));
  await expect.poll(() => hub.find(modelId)).toBeDefined();
  return { hub, socket };
}

function frame(id: number, bytes: Uint8Array): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(id);
  return Buffer.concat([head, bytes]);
}

async function textOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const part of body) parts.push(part);
  return Buffer.concat(parts).toString();
}

describe('a tunnel', () => {
  it('brings a request to the model and its answer back in pieces', async () => {
    const { hub } = await connected((socket, message) => {
      if (message['type'] !== 'request') return;
      const id = Number(message['id']);
      socket.send(JSON.stringify({ type: 'head', id, status: 200, headers: { 'x-a': 'b' } }));
      socket.send(frame(id, Buffer.from('hello ')));
      socket.send(frame(id, Buffer.from(String(message['body']))));
      socket.send(JSON.stringify({ type: 'end', id }));
    });
    const answer = await present(hub.find(modelId), 'the server').request({
      method: 'POST',
      path: '/x',
      body: { a: 1 },
      timeoutMs: 5_000,
    });
    expect(answer.status).toBe(200);
    expect(answer.headers).toEqual({ 'x-a': 'b' });
    expect(await textOf(answer.body)).toBe('hello {"a":1}');
    expect(hub.list()[0]?.inFlight).toBe(0);
  });

  it('fails what is in flight when it breaks, and is not found any more', async () => {
    const { hub, socket } = await connected((_, message) => {
      if (message['type'] === 'request') socket.terminate();
    });
    await expect(hub.request(jobId, { method: 'GET', path: '/health', timeoutMs: 5_000 })).rejects.toThrow(
      /broke/,
    );
    await expect.poll(() => hub.find(modelId)).toBeUndefined();
    await expect(hub.request(jobId, { method: 'GET', path: '/health', timeoutMs: 5_000 })).rejects.toThrow(
      /not connected/,
    );
  });

  it('gives up a request that is not answered in time and tells the agent', async () => {
    const heard: unknown[] = [];
    const { hub } = await connected((_, message) => heard.push(message['type']));
    await expect(hub.request(jobId, { method: 'GET', path: '/', timeoutMs: 100 })).rejects.toThrow(
      /within 100 ms/,
    );
    await expect.poll(() => heard).toEqual(['request', 'abort']);
  });

  it('grants more credit as the reader reads, and not before', async () => {
    const credits: number[] = [];
    let id = 0;
    const { hub, socket } = await connected((_, message) => {
      if (message['type'] === 'request') {
        id = Number(message['id']);
        socket.send(JSON.stringify({ type: 'head', id, status: 200, headers: {} }));
        for (let sent = 0; sent < tunnelLimits.initialCredit; sent += tunnelLimits.frameBytes)
          socket.send(frame(id, Buffer.alloc(tunnelLimits.frameBytes)));
      } else if (message['type'] === 'credit') {
        credits.push(Number(message['bytes']));
      }
    });
    const answer = await hub.request(jobId, { method: 'GET', path: '/', timeoutMs: 5_000 });
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(credits).toEqual([]);
    let read = 0;
    for await (const part of answer.body) {
      read += part.byteLength;
      if (read === tunnelLimits.initialCredit) socket.send(JSON.stringify({ type: 'end', id }));
    }
    await expect
      .poll(() => credits.reduce((sum, bytes) => sum + bytes, 0))
      .toBeGreaterThanOrEqual(tunnelLimits.initialCredit / 2);
  });

  it('closes an agent that sends more than it may', async () => {
    const { hub, socket } = await connected((_, message) => {
      if (message['type'] !== 'request') return;
      const id = Number(message['id']);
      socket.send(JSON.stringify({ type: 'head', id, status: 200, headers: {} }));
      for (let sent = 0; sent <= tunnelLimits.initialCredit; sent += tunnelLimits.frameBytes)
        socket.send(frame(id, Buffer.alloc(tunnelLimits.frameBytes)));
    });
    const answer = await hub.request(jobId, { method: 'GET', path: '/', timeoutMs: 5_000 });
    await expect.poll(() => socket.readyState).toBe(WebSocket.CLOSED);
    await expect(textOf(answer.body)).rejects.toThrow(/broke/);
  });

  it('refuses more requests at once than its limit', async () => {
    const { hub } = await connected(() => undefined);
    const call = { method: 'GET', path: '/', timeoutMs: 300 } as const;
    const many = Array.from({ length: tunnelLimits.requests }, () =>
      hub.request(jobId, call).catch(() => undefined),
    );
    await expect(hub.request(jobId, call)).rejects.toThrow(/too many requests/);
    await Promise.all(many);
  });

  it('keeps the later attempt of a job', async () => {
    const { hub } = await connected(() => undefined);
    const server = createServer((_: IncomingMessage, response: ServerResponse) => response.end());
    const sockets = new WebSocketServer({ server });
    sockets.on('connection', (socket) => hub.add(socket, { jobId, attempt: 2, clusterId: 'clu_y', modelId }));
    const later = new WebSocket(`ws://127.0.0.1:${await listening(server)}`);
    closers.push(() => later.terminate());
    await new Promise((resolve) => later.once('open', resolve));
    later.send(JSON.stringify({ type: 'hello', revisions: [] }));
    await expect.poll(() => hub.list().map((model) => model.attempt)).toEqual([2]);
  });
});
