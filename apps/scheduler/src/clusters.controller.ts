import {
  type ClusterView,
  drainCluster,
  type InputOf,
  listClusters,
  listShares,
  type ResponseOf,
  registerCluster,
  resumeCluster,
  retireCluster,
  rotateClusterKey,
  showCluster,
  showLabShare,
} from '@beamtime/contracts';
import { Directory } from '@beamtime/identity';
import type { LabId } from '@beamtime/kernel';
import {
  deny,
  Endpoint,
  hasLabRole,
  hasRole,
  Input,
  Person,
  type PersonPrincipal,
  unwrap,
} from '@beamtime/platform';
import {
  ChangeCluster,
  type ClusterChange,
  ClusterViews,
  RegisterCluster,
  ShareViews,
} from '@beamtime/scheduling';
import { Controller, Inject } from '@nestjs/common';

/** Clusters and shares, for people. */
@Controller()
export class ClustersController {
  constructor(
    @Inject(RegisterCluster) private readonly register: RegisterCluster,
    @Inject(ChangeCluster) private readonly change: ChangeCluster,
    @Inject(ClusterViews) private readonly clusters: ClusterViews,
    @Inject(ShareViews) private readonly shares: ShareViews,
    @Inject(Directory) private readonly directory: Directory,
  ) {}

  @Endpoint(registerCluster)
  async registerOne(
    @Input() input: InputOf<typeof registerCluster>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof registerCluster>> {
    const lab = unwrap(await this.directory.lab(input.body.labId));
    if (!mayOperate(caller, lab.labId)) {
      deny('auth.forbidden', `Only an operator of ${lab.name} or the secretariat may register its clusters`);
    }
    const { clusterId, agentKey } = unwrap(
      await this.register.execute({ labId: lab.labId, name: input.body.name, actor: caller.personId }),
    );
    return { cluster: await this.view(clusterId), agentKey };
  }

  @Endpoint(rotateClusterKey)
  async rotate(
    @Input() input: InputOf<typeof rotateClusterKey>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof rotateClusterKey>> {
    const agentKey = unwrap(await this.change.rotateKey(changeBy(caller, input.params.clusterId, undefined)));
    return { agentKey };
  }

  @Endpoint(listClusters)
  async list(): Promise<ResponseOf<typeof listClusters>> {
    return { items: await this.clusters.list() };
  }

  @Endpoint(showCluster)
  show(@Input() input: InputOf<typeof showCluster>): Promise<ClusterView> {
    return this.view(input.params.clusterId);
  }

  @Endpoint(drainCluster)
  async drain(@Input() input: InputOf<typeof drainCluster>, @Person() caller: PersonPrincipal) {
    unwrap(await this.change.drain(changeBy(caller, input.params.clusterId, input.body.reason)));
    return this.view(input.params.clusterId);
  }

  @Endpoint(resumeCluster)
  async resume(@Input() input: InputOf<typeof resumeCluster>, @Person() caller: PersonPrincipal) {
    unwrap(await this.change.resume(changeBy(caller, input.params.clusterId, input.body.reason)));
    return this.view(input.params.clusterId);
  }

  @Endpoint(retireCluster)
  async retire(@Input() input: InputOf<typeof retireCluster>, @Person() caller: PersonPrincipal) {
    unwrap(await this.change.retire(changeBy(caller, input.params.clusterId, input.body.reason)));
    return this.view(input.params.clusterId);
  }

  @Endpoint(listShares)
  async listShares(): Promise<ResponseOf<typeof listShares>> {
    return { items: await this.shares.list() };
  }

  @Endpoint(showLabShare)
  async showShare(@Input() input: InputOf<typeof showLabShare>): Promise<ResponseOf<typeof showLabShare>> {
    const { labId } = unwrap(await this.directory.lab(input.params.labId));
    const found = (await this.shares.list()).find((share) => share.owner === labId);
    return (
      found ?? {
        owner: labId,
        entitledGpus: 0,
        runningGpus: 0,
        borrowedGpus: 0,
        lentGpus: 0,
        recentGpuSeconds: 0,
        creditGpuSeconds: 0,
        waitingJobs: 0,
        waitingGpus: 0,
      }
    );
  }

  private async view(clusterId: string): Promise<ClusterView> {
    return (
      (await this.clusters.find(clusterId)) ?? deny('resource.not-found', `There is no cluster ${clusterId}`)
    );
  }
}

function mayOperate(caller: PersonPrincipal, labId: LabId): boolean {
  return hasRole(caller, 'secretariat') || hasLabRole(caller, labId, 'operator');
}

function changeBy(caller: PersonPrincipal, clusterId: string, reason: string | undefined): ClusterChange {
  return {
    clusterId,
    reason: reason ?? null,
    actor: caller.personId,
    allowed: (labId) => mayOperate(caller, labId),
  };
}
