import { type IncomingMessage, request } from 'node:http';
import { type TunnelDownMessage, type TunnelUpMessage, tunnelLimits } from '@beamtime/contracts';
import type { ServedModel } from './served-model.js';

type RequestMessage = Extract<TunnelDownMessage, { type: 'request' }>;

export interface Upstream {
  send(message: TunnelUpMessage): void;
  sendBytes(bytes: Uint8Array): void;
}

/** Headers that belong to one connection and are not passed on. */
const hopByHop = new Set(['connection', 'keep-alive', 'transfer-encoding', 'date', 'server']);

/** One request on its way to the runner beside us and back; it sends no more than the gateway has given credit for. */
export class ForwardedRequest {
  private credits: number = tunnelLimits.initialCredit;
  private onCredit: (() => void) | undefined;
  private readonly aborted = new AbortController();

  constructor(
    private readonly message: RequestMessage,
    private readonly served: ServedModel,
    private readonly up: Upstream,
  ) {}

  credit(bytes: number): void {
    this.credits += bytes;
    this.onCredit?.();
  }

  abort(): void {
    this.aborted.abort();
    this.onCredit?.();
  }

  /** Never throws: what goes wrong is told to the gateway. */
  async run(): Promise<void> {
    const { id, timeoutMs } = this.message;
    const timeout = AbortSignal.timeout(timeoutMs);
    const signal = AbortSignal.any([this.aborted.signal, timeout]);
    try {
      const response = await this.ask(signal);
      this.up.send({ type: 'head', id, status: response.statusCode ?? 502, headers: headersOf(response) });
      for await (const chunk of response) await this.pass(chunk as Buffer, signal);
      this.up.send({ type: 'end', id });
    } catch (error) {
      if (this.aborted.signal.aborted) return;
      const code = timeout.aborted ? 'timeout' : isRefused(error) ? 'unreachable' : 'broken';
      const detail = timeout.aborted ? `no answer within ${timeoutMs} ms` : (error as Error).message;
      this.up.send({ type: 'failed', id, code, detail: detail.slice(0, 2_000) });
    }
  }

  private ask(signal: AbortSignal): Promise<IncomingMessage> {
    const { method, path, body } = this.message;
    const bytes = body === null ? undefined : Buffer.from(body);
    return new Promise((resolve, reject) => {
      const outgoing = request(
        {
          host: this.served.host,
          port: this.served.port,
          method,
          path,
          signal,
          headers: {
            authorization: `Bearer ${this.served.token}`,
            ...(bytes === undefined
              ? {}
              : { 'content-type': 'application/json', 'content-length': bytes.length }),
          },
        },
        resolve,
      );
      outgoing.on('error', reject);
      outgoing.end(bytes);
    });
  }

  private async pass(chunk: Buffer, signal: AbortSignal): Promise<void> {
    for (let at = 0; at < chunk.length; ) {
      await this.waitForCredit(signal);
      const length = Math.min(chunk.length - at, tunnelLimits.frameBytes, this.credits);
      this.credits -= length;
      this.up.sendBytes(chunk.subarray(at, at + length));
      at += length;
    }
  }

  private async waitForCredit(signal: AbortSignal): Promise<void> {
    while (this.credits <= 0) {
      signal.throwIfAborted();
      await new Promise<void>((resolve) => {
        this.onCredit = resolve;
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
    }
    signal.throwIfAborted();
  }
}

function headersOf(response: IncomingMessage): Record<string, string> {
  return Object.fromEntries(
    Object.entries(response.headers).flatMap(([name, value]) =>
      value === undefined || hopByHop.has(name)
        ? []
        : [[name, Array.isArray(value) ? value.join(', ') : value]],
    ),
  );
}

function isRefused(error: unknown): boolean {
  return /^(ECONNREFUSED|ECONNRESET|EPIPE)$/.test(String((error as NodeJS.ErrnoException).code));
}
