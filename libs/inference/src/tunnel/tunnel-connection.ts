import {
  type TunnelDownMessage,
  type TunnelUpMessage,
  tunnelLimits,
  tunnelUpMessageSchema,
} from '@beamtime/contracts';
import type { JobId, ModelId } from '@beamtime/kernel';
import { WebSocket } from 'ws';
import type { ModelServer, ServerAnswer, ServerCall } from '../ports.js';
import type { LoadMeter } from '../replicas/load-meter.js';
import { AnswerBody } from './answer-body.js';

/** Which attempt of which job is at the other end. */
export interface TunnelOwner {
  readonly jobId: JobId;
  readonly attempt: number;
  readonly clusterId: string;
  readonly modelId: string | null;
}

/** The request did not reach the model, or its answer broke off. */
export class TunnelBroken extends Error {
  override readonly name = 'TunnelBroken';

  /** @param elsewhere whether the same request may do better at another replica: it is this one that failed */
  constructor(
    message: string,
    readonly elsewhere = false,
  ) {
    super(message);
  }
}

interface Pending {
  readonly body: AnswerBody;
  readonly resolve: (answer: ServerAnswer) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
  /** Tells the meter that it is over. */
  readonly over: () => void;
  /** Body bytes that the agent may still send; more is a fault of the agent. */
  allowed: number;
}

const headBytes = 4;
const pingEveryMs = 5_000;

/** A live served model at the other end of a WebSocket that its agent opened. */
export class TunnelConnection implements ModelServer {
  revisions: readonly string[] | undefined;
  /** It gets no new requests where another replica can take them. */
  isLeaving = false;
  /** When it was chosen last, as a count of choices: of equals it is another one's turn. */
  turn = 0;
  private readonly pending = new Map<number, Pending>();
  private lastId = 0;
  private heardMs = performance.now();
  private readonly watch: NodeJS.Timeout;

  constructor(
    private readonly socket: WebSocket,
    readonly owner: TunnelOwner,
    private readonly meter: LoadMeter,
  ) {
    socket.on('message', (data, isBinary) => this.hear(data as Buffer, isBinary));
    socket.on('pong', () => {
      this.heardMs = performance.now();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => this.closed());
    this.watch = setInterval(() => this.lookAlive(), pingEveryMs);
    this.watch.unref();
  }

  get isReady(): boolean {
    return this.revisions !== undefined && this.socket.readyState === WebSocket.OPEN;
  }
  get inFlight(): number {
    return this.pending.size;
  }

  request(call: ServerCall): Promise<ServerAnswer> {
    if (!this.isReady) return Promise.reject(new TunnelBroken('the model is not connected', true));
    if (this.pending.size >= tunnelLimits.requests)
      return Promise.reject(new TunnelBroken('too many requests to this model at once', true));
    if (call.signal?.aborted === true) return Promise.reject(new TunnelBroken('the caller has gone'));
    const body = call.body === undefined ? null : JSON.stringify(call.body);
    if (body !== null && Buffer.byteLength(body) > tunnelLimits.requestBytes)
      return Promise.reject(new TunnelBroken('the request is too large'));
    const id = this.nextId();
    const timeoutMs = Math.min(call.timeoutMs, tunnelLimits.timeoutMs);
    return new Promise((resolve, reject) => {
      const give = (why: string) => () => this.giveUp(id, new TunnelBroken(why));
      // A little longer than the agent's own limit, whose answer says more.
      const timer = setTimeout(give(`no answer within ${timeoutMs} ms`), timeoutMs + 1_000);
      const answer = new AnswerBody((bytes) => this.grant(id, bytes), give('the reader has gone'));
      const over = this.meter.begin(this.owner.modelId as ModelId, this.owner.jobId);
      this.pending.set(id, {
        body: answer,
        resolve,
        reject,
        timer,
        over,
        allowed: tunnelLimits.initialCredit,
      });
      call.signal?.addEventListener('abort', give('the caller has gone'), { once: true });
      this.send({ type: 'request', id, method: call.method, path: call.path, body, timeoutMs });
    });
  }

  onceClosed(then: () => void): void {
    this.socket.once('close', then);
  }

  close(code: number, why: string): void {
    this.socket.close(code, why.slice(0, 100));
    // One that does not answer the close is cut off.
    setTimeout(() => this.socket.terminate(), 1_000).unref();
  }

  private nextId(): number {
    do this.lastId = this.lastId >= 4_294_967_295 ? 1 : this.lastId + 1;
    while (this.pending.has(this.lastId));
    return this.lastId;
  }

  private hear(data: Buffer, isBinary: boolean): void {
    this.heardMs = performance.now();
    if (isBinary) {
      this.hearBytes(data);
      return;
    }
    let message: TunnelUpMessage;
    try {
      message = tunnelUpMessageSchema.parse(JSON.parse(String(data)));
    } catch {
      this.close(1008, 'not a message of the tunnel');
      return;
    }
    this.hearMessage(message);
  }

  private hearMessage(message: TunnelUpMessage): void {
    if (message.type === 'hello') {
      this.revisions = message.revisions;
      return;
    }
    const pending = this.pending.get(message.id);
    if (pending === undefined) return;
    switch (message.type) {
      case 'head':
        pending.resolve({ status: message.status, headers: message.headers, body: pending.body });
        return;
      case 'end':
        this.finish(message.id);
        pending.body.end();
        return;
      case 'failed': {
        this.finish(message.id);
        const error = new TunnelBroken(`${message.code}: ${message.detail}`, message.code !== 'timeout');
        pending.reject(error);
        pending.body.fail(error);
      }
    }
  }

  private hearBytes(data: Buffer): void {
    if (data.byteLength < headBytes) return;
    const id = data.readUInt32BE(0);
    const pending = this.pending.get(id);
    if (pending === undefined) return;
    const bytes = data.subarray(headBytes);
    pending.allowed -= bytes.byteLength;
    if (pending.allowed < 0) {
      this.close(1008, 'more bytes than there was credit for');
      return;
    }
    pending.body.push(bytes);
  }

  private grant(id: number, bytes: number): void {
    const pending = this.pending.get(id);
    if (pending === undefined) return;
    pending.allowed += bytes;
    this.send({ type: 'credit', id, bytes });
  }

  private giveUp(id: number, error: Error): void {
    const pending = this.pending.get(id);
    if (pending === undefined) return;
    this.finish(id);
    this.send({ type: 'abort', id });
    pending.reject(error);
    pending.body.fail(error);
  }

  private finish(id: number): void {
    const pending = this.pending.get(id);
    clearTimeout(pending?.timer);
    pending?.over();
    this.pending.delete(id);
  }

  private send(message: TunnelDownMessage): void {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  private lookAlive(): void {
    if (performance.now() - this.heardMs > tunnelLimits.silenceMs) this.socket.terminate();
    else if (this.socket.readyState === WebSocket.OPEN) this.socket.ping();
  }

  private closed(): void {
    clearInterval(this.watch);
    const error = new TunnelBroken('the connection to the model broke', true);
    for (const [id, pending] of this.pending) {
      this.finish(id);
      pending.reject(error);
      pending.body.fail(error);
    }
  }
}
