import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { TunnelGate } from './tunnel-gate.js';
import { TunnelHub } from './tunnel-hub.js';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** A gate that knows no agent, on a server of its own. */
async function gatePort(): Promise<number> {
  const server = createServer();
  const never = () => Promise.reject(new Error('nobody gets this far'));
  const gate = new TunnelGate(
    { httpAdapter: { getHttpServer: () => server } } as unknown as ConstructorParameters<
      typeof TunnelGate
    >[0],
    { authenticate: () => Promise.resolve(null) },
    { execute: never },
    new TunnelHub(),
    { error: never, info: never, warn: never } as unknown as ConstructorParameters<typeof TunnelGate>[4],
  );
  gate.onApplicationBootstrap();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(() => {
    gate.onApplicationShutdown();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** The first line of the answer to an upgrade of this target, read until the gate hangs up. */
async function upgrade(port: number, target: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  closers.push(() => socket.destroy());
  socket.write(
    `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
  );
  let answer = '';
  for await (const part of socket) answer += String(part);
  return answer.split('\r\n')[0] ?? '';
}

it('refuses an upgrade of anything that is no address, and lives on', async () => {
  const port = await gatePort();
  for (const target of ['//', 'http://[::bad', '/%ff', '/elsewhere'])
    expect(await upgrade(port, target), target).toBe('HTTP/1.1 404 Not Found');
});

it('survives clients that reset the connection of a refused upgrade', async () => {
  const port = await gatePort();
  for (let count = 0; count < 20; count += 1) {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    socket.write(
      'GET /elsewhere HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
      () => socket.resetAndDestroy(),
    );
    await once(socket, 'close');
  }
  expect(await upgrade(port, '/elsewhere')).toBe('HTTP/1.1 404 Not Found');
});
