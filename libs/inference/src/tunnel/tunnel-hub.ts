import type { JobId, ModelId } from '@beamtime/kernel';
import type { WebSocket } from 'ws';
import type { ModelServer, ModelServers, ServerAnswer, ServerCall } from '../ports.js';
import { TunnelBroken, TunnelConnection, type TunnelOwner } from './tunnel-connection.js';

export interface LiveModel extends TunnelOwner {
  readonly revisions: readonly string[];
  readonly inFlight: number;
}

/** All models that agents have connected to this gateway process. */
export class TunnelHub implements ModelServers {
  private readonly connections = new Map<JobId, TunnelConnection>();

  /** Takes over an admitted socket. Of two attempts of one job the later one stays. */
  add(socket: WebSocket, owner: TunnelOwner): TunnelConnection {
    const earlier = this.connections.get(owner.jobId);
    const connection = new TunnelConnection(socket, owner);
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

  /** The least busy server of a model. */
  find(modelId: ModelId): ModelServer | undefined {
    let best: TunnelConnection | undefined;
    for (const connection of this.connections.values()) {
      if (connection.owner.modelId !== modelId || !connection.isReady) continue;
      if (best === undefined || connection.inFlight < best.inFlight) best = connection;
    }
    return best;
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
