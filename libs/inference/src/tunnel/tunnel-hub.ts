import type { JobId, ModelId } from '@beamtime/kernel';
import type { WebSocket } from 'ws';
import type { ModelServer, ModelServers, ServerAnswer, ServerCall } from '../ports.js';
import { LoadMeter, type ModelLoad } from '../replicas/load-meter.js';
import { TunnelBroken, TunnelConnection, type TunnelOwner } from './tunnel-connection.js';

export interface LiveModel extends TunnelOwner {
  readonly revisions: readonly string[];
  readonly inFlight: number;
}

/** All models that agents have connected to this gateway process. */
export class TunnelHub implements ModelServers {
  /** Counts what is in flight, and what waits for one of these. */
  readonly meter = new LoadMeter();
  private readonly connections = new Map<JobId, TunnelConnection>();
  private turns = 0;

  /** Takes over an admitted socket. Of two attempts of one job the later one stays. */
  add(socket: WebSocket, owner: TunnelOwner): TunnelConnection {
    const earlier = this.connections.get(owner.jobId);
    const connection = new TunnelConnection(socket, owner, this.meter);
    connection.onceClosed(() => {
      if (this.connections.get(owner.jobId) === connection) this.connections.delete(owner.jobId);
    });
    if (earlier !== undefined && earlier.owner.attempt > owner.attempt) {
      connection.close(4409, 'a later attempt is connected');
      return connection;
    }
    this.connections.set(owner.jobId, connection);
    earlier?.close(4409, 'connected again');
    return connection;
  }

  /**
   * The replica with the least in flight, of equals the one whose turn it is. One that leaves is asked only where there is
   * no other: better an answer now than a wait for the next replica.
   */
  find(modelId: ModelId, except?: ModelServer): ModelServer | undefined {
    let best: TunnelConnection | undefined;
    for (const connection of this.connections.values()) {
      if (connection.owner.modelId !== modelId || !connection.isReady || connection === except) continue;
      if (best === undefined || goesBefore(connection, best)) best = connection;
    }
    if (best !== undefined) best.turn = ++this.turns;
    return best;
  }

  /** The load of each replica that is connected, also one that has nothing to do, and of what waits for one. */
  loads(): ModelLoad[] {
    const loads = this.meter.read().filter((one) => one.modelId !== null);
    const told = new Set(loads.map((one) => one.jobId));
    for (const { isReady, owner } of this.connections.values()) {
      if (!isReady || owner.modelId === null || told.has(owner.jobId)) continue;
      loads.push({ modelId: owner.modelId as ModelId, jobId: owner.jobId, inFlight: 0, meanInFlight: 0 });
    }
    return loads;
  }

  /** Sends a request to the program of a job; rejects with TunnelBroken when it is not connected. */
  request(jobId: JobId, call: ServerCall): Promise<ServerAnswer> {
    const connection = this.connections.get(jobId);
    if (connection === undefined) return Promise.reject(new TunnelBroken('the job is not connected'));
    return connection.request(call);
  }

  /** What is connected and ready. */
  list(): LiveModel[] {
    return [...this.connections.values()].flatMap((connection) =>
      connection.isReady
        ? [{ ...connection.owner, revisions: connection.revisions ?? [], inFlight: connection.inFlight }]
        : [],
    );
  }

  closeAll(): void {
    for (const connection of this.connections.values()) connection.close(1001, 'the gateway is stopping');
  }
}

function goesBefore(a: TunnelConnection, b: TunnelConnection): boolean {
  return (Number(a.isLeaving) - Number(b.isLeaving) || a.inFlight - b.inFlight || a.turn - b.turn) < 0;
}
