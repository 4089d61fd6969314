import { everything, FindModels, PlanJobs, type PlannedJob } from '@beamtime/catalogue';
import {
  type InputOf,
  listServing,
  type ResponseOf,
  type ServingView,
  setServing,
  showServing,
} from '@beamtime/contracts';
import { type ModelDemand, ReplicaDemand, type ReplicaLoad, readLoads } from '@beamtime/inference';
import type { ClusterId, PersonId } from '@beamtime/kernel';
import {
  deny,
  Endpoint,
  hasLabRole,
  hasRole,
  Input,
  Person,
  type PersonPrincipal,
  Transactor,
  unwrap,
} from '@beamtime/platform';
import { Replicas, type ServeJob } from '@beamtime/scheduling';
import { Controller, Inject } from '@nestjs/common';
import { KeepReplicas, withLoads } from './keep-replicas.js';

/** The replicas of models, for people. */
@Controller()
export class ServingController {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(FindModels) private readonly models: FindModels,
    @Inject(PlanJobs) private readonly plan: PlanJobs,
    @Inject(ReplicaDemand) private readonly demand: ReplicaDemand,
    @Inject(Replicas) private readonly replicas: Replicas,
    @Inject(KeepReplicas) private readonly keeper: KeepReplicas,
  ) {}

  @Endpoint(showServing)
  async show(@Input() input: InputOf<typeof showServing>): Promise<ServingView> {
    return this.view(input.params.modelId);
  }

  @Endpoint(setServing)
  async set(
    @Input() input: InputOf<typeof setServing>,
    @Person() caller: PersonPrincipal,
  ): Promise<ServingView> {
    const { modelId } = input.params;
    const planned = unwrap(await this.plan.serving(modelId));
    if (!mayServe(caller, planned)) {
      deny(
        'auth.forbidden',
        'Only the secretariat, or an operator of the lab on whose share the model is served, may set this',
      );
    }
    const bounds = Object.fromEntries(Object.entries(input.body).filter(([, value]) => value !== undefined));
    unwrap(await this.demand.setBounds({ modelId, bounds, actor: caller.personId }));
    await this.keeper.keep(modelId);
    return this.view(modelId);
  }

  @Endpoint(listServing)
  async list(): Promise<ResponseOf<typeof listServing>> {
    const [demands, live, loads] = await Promise.all([
      this.demand.list(),
      this.replicas.live(null),
      readLoads(this.transactor.read),
    ]);
    const items = demands.map(async (one) =>
      servingView(
        (await this.nameOf(one.modelId)) ?? one.modelId,
        one,
        live.filter((job) => job.modelId === one.modelId),
        loads.filter((load) => load.modelId === one.modelId),
      ),
    );
    return { items: await Promise.all(items) };
  }

  private async view(modelId: string): Promise<ServingView> {
    const name = (await this.nameOf(modelId)) ?? deny('resource.not-found', `There is no model ${modelId}`);
    const [demand, live, loads] = await Promise.all([
      this.demand.find(modelId),
      this.replicas.live(modelId),
      readLoads(this.transactor.read, modelId),
    ]);
    return servingView(name, demand, live, loads);
  }

  private async nameOf(modelId: string): Promise<string | undefined> {
    const found = await this.models.record(everything, modelId);
    return found.ok ? found.value.name : undefined;
  }
}

/** Models of suites are served on the consortium's share, those of a lab on its own. */
function mayServe(caller: PersonPrincipal, { suiteId, labId }: PlannedJob): boolean {
  if (hasRole(caller, 'secretariat')) return true;
  return suiteId === null && labId !== null && hasLabRole(caller, labId, 'operator');
}

function servingView(
  modelName: string,
  demand: ModelDemand,
  live: readonly ServeJob[],
  loads: readonly ReplicaLoad[],
): ServingView {
  const replicas = withLoads(live, loads).map((job) => ({
    jobId: job.jobId,
    replica: job.replica,
    state: stateOf(job),
    clusterId: job.clusterId as ClusterId | null,
    clusterName: job.clusterName,
    inFlight: job.inFlight,
    submittedAt: job.submittedAt.toISOString(),
  }));
  const count = (state: string): number => replicas.filter((one) => one.state === state).length;
  const sum = (some: readonly ReplicaLoad[]): number =>
    some.reduce((total, load) => total + load.inFlight, 0);
  return {
    modelId: demand.modelId,
    modelName,
    ...demand.bounds,
    setBy: (demand.set?.by ?? null) as PersonId | null,
    setAt: demand.set?.at.toISOString() ?? null,
    wanted: demand.replicas,
    live: count('live'),
    starting: count('starting'),
    leaving: count('leaving'),
    inFlight: sum(loads.filter((load) => load.jobId !== null)),
    waiting: sum(loads.filter((load) => load.jobId === null)),
    lastUsedAt: demand.lastUsedAt?.toISOString() ?? null,
    refusal:
      demand.refusal === null ? null : { at: demand.refusal.at.toISOString(), reason: demand.refusal.reason },
    replicas,
  };
}

function stateOf(job: ReturnType<typeof withLoads>[number]): 'starting' | 'live' | 'leaving' {
  if (job.leavingForMs !== null) return 'leaving';
  return job.isConnected ? 'live' : 'starting';
}
