import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { type TunnelQuery, tunnelLimits, tunnelPath, tunnelQuerySchema } from '@beamtime/contracts';
import type { JobId, Problem, Result } from '@beamtime/kernel';
import { AUTHENTICATOR, type Authenticator, LOGGER } from '@beamtime/platform';
import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { Logger } from 'pino';
import { WebSocketServer } from 'ws';
import type { TunnelConnection } from './tunnel-connection.js';
import { TunnelHub } from './tunnel-hub.js';

/**
 * Port to scheduling: whether this attempt, held by this agent, serves a model now, and whether it is to get no new
 * requests any more.
 */
export interface TunnelAuthority {
  execute(
    claim: TunnelQuery & { readonly clusterId: string },
  ): Promise<Result<{ jobId: JobId; modelId: string | null; isLeaving: boolean }, Problem>>;
}
export const TUNNEL_AUTHORITY = Symbol('TunnelAuthority');

/**
 * A tunnel whose attempt has ended, or passed to another cluster, is closed within this time, and one whose replica
 * leaves gets no new requests.
 */
const admitAgainMs = 5_000;

/** Lets agents connect served models: checks key, incarnation and attempt at the door and again while they stay. */
@Injectable()
export class TunnelGate implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly sockets = new WebSocketServer({
    noServer: true,
    maxPayload: tunnelLimits.frameBytes + 64 * 1024,
    perMessageDeflate: false,
  });
  private readonly stopping = new AbortController();

  constructor(
    @Inject(HttpAdapterHost) private readonly host: HttpAdapterHost,
    @Inject(AUTHENTICATOR) private readonly authenticator: Authenticator,
    @Inject(TUNNEL_AUTHORITY) private readonly authority: TunnelAuthority,
    @Inject(TunnelHub) private readonly hub: TunnelHub,
    @Inject(LOGGER) private readonly log: Logger,
  ) {}

  onApplicationBootstrap(): void {
    const server = this.host.httpAdapter.getHttpServer() as Server;
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      // Node hands the socket over bare: an error that nobody hears would end the process.
      socket.on('error', () => undefined);
      if (addressOf(request)?.pathname !== tunnelPath) {
        refuse(socket, 404);
        return;
      }
      this.admit(request, socket, head).catch((error: unknown) => {
        this.log.error({ err: error }, 'a tunnel could not be admitted');
        refuse(socket, 503);
      });
    });
  }

  private async admit(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const query = tunnelQuerySchema.safeParse(Object.fromEntries(addressOf(request)?.searchParams ?? []));
    if (!query.success) {
      refuse(socket, 400);
      return;
    }
    const bearer = /^bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1]?.trim();
    const principal = await this.authenticator.authenticate({ bearer, session: undefined });
    if (principal?.kind !== 'agent') {
      refuse(socket, principal === null ? 401 : 403);
      return;
    }
    const claim = { ...query.data, clusterId: principal.clusterId };
    const admitted = await this.authority.execute(claim);
    if (!admitted.ok) {
      this.log.info({ claim, problem: admitted.error }, 'tunnel refused');
      refuse(socket, 409);
      return;
    }
    this.sockets.handleUpgrade(request, socket, head, (ws) => {
      const { jobId, modelId, isLeaving } = admitted.value;
      const connection = this.hub.add(ws, { ...claim, jobId, modelId });
      connection.isLeaving = isLeaving;
      this.log.info({ jobId: claim.jobId, attempt: claim.attempt }, 'a served model is connected');
      this.admitAgain(connection, claim, bearer);
    });
  }

  private admitAgain(
    connection: TunnelConnection,
    claim: TunnelQuery & { clusterId: string },
    bearer: string | undefined,
  ): void {
    const timer = setInterval(() => void this.look(connection, claim, bearer), admitAgainMs);
    timer.unref();
    const stop = (): void => clearInterval(timer);
    connection.onceClosed(stop);
    this.stopping.signal.addEventListener('abort', stop, { once: true });
  }

  private async look(
    connection: TunnelConnection,
    claim: TunnelQuery & { clusterId: string },
    bearer: string | undefined,
  ): Promise<void> {
    try {
      const principal = await this.authenticator.authenticate({ bearer, session: undefined });
      const admitted = await this.authority.execute(claim);
      if (principal?.kind !== 'agent' || !admitted.ok) connection.close(4403, 'no longer admitted');
      else connection.isLeaving = admitted.value.isLeaving;
    } catch (error) {
      // The database is away for a moment: what was admitted stays.
      this.log.warn({ err: error }, 'a tunnel could not be checked');
    }
  }

  onApplicationShutdown(): void {
    this.stopping.abort();
    this.hub.closeAll();
    this.sockets.close();
  }
}

/** What was asked for; undefined where it is no address, as `//` is none. Anybody may send that. */
function addressOf(request: IncomingMessage): URL | undefined {
  const path = request.url ?? '/';
  return URL.canParse(path, 'http://gateway') ? new URL(path, 'http://gateway') : undefined;
}

function refuse(socket: Duplex, status: 400 | 401 | 403 | 404 | 409 | 503): void {
  const phrases = {
    400: 'Bad Request',
    401: 'Unauthorized',
    403: 'Forbidden',
    404: 'Not Found',
    409: 'Conflict',
    503: 'Service Unavailable',
  };
  socket.end(`HTTP/1.1 ${status} ${phrases[status]}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`, () =>
    socket.destroy(),
  );
}
