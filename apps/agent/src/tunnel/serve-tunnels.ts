import type { Log } from '../log.js';
import type { AttemptAddress } from '../upload-files.js';
import { GatewayTunnel } from './gateway-tunnel.js';
import type { ServedModel } from './served-model.js';

/** The connections of all served models of this agent to all gateways. */
export class ServeTunnels {
  private readonly tunnels = new Map<string, GatewayTunnel[]>();

  constructor(
    private readonly gateways: readonly string[],
    private readonly key: string,
    private readonly log: Log,
  ) {}

  open(address: AttemptAddress, served: ServedModel): void {
    this.close(address.jobId);
    this.tunnels.set(
      address.jobId,
      this.gateways.map((gateway) => new GatewayTunnel(gateway, this.key, address, served, this.log)),
    );
  }

  close(jobId: string): void {
    for (const tunnel of this.tunnels.get(jobId) ?? []) tunnel.close();
    this.tunnels.delete(jobId);
  }

  closeAll(): void {
    for (const jobId of [...this.tunnels.keys()]) this.close(jobId);
  }
}
