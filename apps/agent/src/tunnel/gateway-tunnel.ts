import {
  type TunnelDownMessage,
  type TunnelUpMessage,
  tunnelDownMessageSchema,
  tunnelLimits,
  tunnelPath,
} from '@beamtime/contracts';
import { WebSocket } from 'ws';
import type { Log } from '../log.js';
import { pause } from '../pause.js';
import type { AttemptAddress } from '../upload-files.js';
import { ForwardedRequest } from './forwarded-request.js';
import type { ServedModel } from './served-model.js';

const reconnectBaseMs = 200;
const reconnectMaxMs = 5_000;
const pingEveryMs = 5_000;

/** One served model's connection to one gateway: opened from here, kept open, opened again when it breaks. */
export class GatewayTunnel {
  private readonly closed = new AbortController();
  private readonly requests = new Map<number, ForwardedRequest>();
  private socket: WebSocket | undefined;

  constructor(
    private readonly gateway: string,
    private readonly key: string,
    private readonly address: AttemptAddress,
    private readonly served: ServedModel,
    private readonly log: Log,
  ) {
    void this.keepOpen();
  }

  close(): void {
    this.closed.abort();
    this.socket?.terminate();
  }

  private async keepOpen(): Promise<void> {
    let failures = 0;
    while (!this.closed.signal.aborted) {
      const startedMs = performance.now();
      const why = await this.once();
      if (this.closed.signal.aborted) return;
      failures = performance.now() - startedMs > reconnectMaxMs ? 1 : failures + 1;
      if (failures === 1)
        this.log('warn', 'connection to the gateway lost; opening it again', {
          job: this.address.jobId,
          why,
        });
      await pause(Math.min(reconnectMaxMs, reconnectBaseMs * 2 ** failures), this.closed.signal);
    }
  }

  /** Opens the connection and serves it until it ends; answers why it ended. */
  private once(): Promise<string> {
    const url = new URL(tunnelPath, this.gateway);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    url.searchParams.set('jobId', this.address.jobId);
    url.searchParams.set('attempt', String(this.address.attempt));
    url.searchParams.set('incarnation', String(this.address.incarnation));
    const socket = new WebSocket(url, {
      headers: { authorization: `Bearer ${this.key}` },
      handshakeTimeout: tunnelLimits.silenceMs,
      maxPayload: tunnelLimits.requestBytes * 2,
    });
    this.socket = socket;
    return new Promise((resolve) => {
      let why = 'closed';
      let heardMs = performance.now();
      const watch = setInterval(() => {
        if (performance.now() - heardMs > tunnelLimits.silenceMs) socket.terminate();
        else if (socket.readyState === WebSocket.OPEN) socket.ping();
      }, pingEveryMs);
      socket.on('open', () => {
        this.log('info', 'connected to the gateway', { job: this.address.jobId, gateway: this.gateway });
        this.send({ type: 'hello', revisions: [...this.served.revisions] });
      });
      socket.on('pong', () => {
        heardMs = performance.now();
      });
      socket.on('message', (data, isBinary) => {
        heardMs = performance.now();
        if (!isBinary) this.take(String(data));
      });
      socket.on('unexpected-response', (_, response) => {
        why = `the gateway answered ${response.statusCode}`;
        response.destroy();
        socket.terminate();
      });
      socket.on('error', (error) => {
        why = error.message;
      });
      socket.on('close', () => {
        clearInterval(watch);
        for (const request of this.requests.values()) request.abort();
        this.requests.clear();
        resolve(why);
      });
    });
  }

  private take(text: string): void {
    let message: TunnelDownMessage;
    try {
      message = tunnelDownMessageSchema.parse(JSON.parse(text));
    } catch {
      this.log('warn', 'the gateway sent what is no message of the tunnel', { job: this.address.jobId });
      return;
    }
    switch (message.type) {
      case 'request': {
        if (this.requests.size >= tunnelLimits.requests) {
          this.send({ type: 'failed', id: message.id, code: 'refused', detail: 'too many requests at once' });
          return;
        }
        const { id } = message;
        const forwarded = new ForwardedRequest(message, this.served, {
          send: (up) => this.send(up),
          sendBytes: (bytes) => this.sendBytes(id, bytes),
        });
        this.requests.set(id, forwarded);
        void forwarded.run().finally(() => this.requests.delete(id));
        return;
      }
      case 'credit':
        this.requests.get(message.id)?.credit(message.bytes);
        return;
      case 'abort':
        this.requests.get(message.id)?.abort();
    }
  }

  private send(message: TunnelUpMessage): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  private sendBytes(id: number, bytes: Uint8Array): void {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    const frame = Buffer.allocUnsafe(4 + bytes.length);
    frame.writeUInt32BE(id, 0);
    frame.set(bytes, 4);
    this.socket.send(frame);
  }
}
