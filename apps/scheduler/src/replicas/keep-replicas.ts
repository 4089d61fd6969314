import { PlanJobs } from '@beamtime/catalogue';
import { type ModelDemand, ReplicaDemand, type ReplicaLoad, readLoads } from '@beamtime/inference';
import { type KnockListener, Knocks, LOGGER, Transactor, type Tx } from '@beamtime/platform';
import { planReplicas, Replicas, restartAfterMs, type ServeJob, SubmitJob } from '@beamtime/scheduling';
import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Logger } from 'pino';
import { submitPlanned } from '../submit-planned.js';

const lookEveryMs = 2_000;
const pruneEveryMs = 30_000;
/** A replica is held, and its cluster bound, for so long; the next one then takes its place. */
const replicaSeconds = 3_600;
/** What was refused is tried again after so long. */
const tryAgainMs = 20_000;

/**
 * Keeps as many replicas of each model as are wanted: joins what gateways tell of the load with the serve jobs. Every
 * instance of the scheduler does it; whoever changes something of a model holds it locked, and a replica's number is live
 * once, so that no two of them start more than are wanted.
 */
@Injectable()
export class KeepReplicas implements OnApplicationBootstrap, OnApplicationShutdown {
  private listener: KnockListener | undefined;
  private prunedAtMs = Number.NEGATIVE_INFINITY;

  constructor(
    @Inject(Knocks) private readonly knocks: Knocks,
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(ReplicaDemand) private readonly demand: ReplicaDemand,
    @Inject(Replicas) private readonly replicas: Replicas,
    @Inject(PlanJobs) private readonly plan: PlanJobs,
    @Inject(SubmitJob) private readonly submit: SubmitJob,
    @Inject(LOGGER) private readonly log: Logger,
  ) {}

  onApplicationBootstrap(): void {
    this.listener = this.knocks.listen('replicas', lookEveryMs, () => this.look());
  }

  async onApplicationShutdown(): Promise<void> {
    await this.listener?.close();
  }

  /** Looks at all models, and does what is to be done; one that fails does not hold up the others. */
  async look(): Promise<void> {
    await this.demand.sample();
    const [demands, live, loads] = await Promise.all([
      this.demand.list(),
      this.replicas.live(null),
      readLoads(this.transactor.read),
    ]);
    const demandOf = new Map<string, ModelDemand>(demands.map((one) => [one.modelId, one]));
    const withReplicas = live.filter((job) => job.replica !== null).map((job) => job.modelId);
    for (const modelId of new Set([...demandOf.keys(), ...withReplicas])) {
      const ofModel = live.filter((job) => job.modelId === modelId);
      if (!isDue(demandOf.get(modelId), ofModel, loads)) continue;
      try {
        await this.keep(modelId);
      } catch (error) {
        this.log.error({ err: error, modelId }, 'the replicas of a model could not be kept');
      }
    }
    if (performance.now() - this.prunedAtMs < pruneEveryMs) return;
    this.prunedAtMs = performance.now();
    await this.demand.prune(withReplicas);
  }

  /** One model, now. In a transaction of its own; a second time it finds what the first has done. */
  async keep(modelId: string): Promise<void> {
    const done = await this.transactor.do(async (tx) => {
      const demand = await this.demand.lock(tx, modelId);
      const live = await this.replicas.live(modelId, tx);
      const plan = planReplicas(demand.replicas, withLoads(live, await readLoads(tx, modelId)));
      await this.replicas.leave(tx, plan.leave);
      await this.replicas.takeBack(tx, plan.takeBack);
      const refusal = await this.start(tx, demand, plan.start);
      await this.demand.decided(tx, modelId, demand.replicas, refusal);
      return plan.end;
    });
    for (const jobId of done) await this.replicas.end(jobId);
  }

  /** Answers why not all could be started, for operators; null where nothing stood against it. */
  private async start(
    tx: Tx,
    { modelId, bounds: { gpuShareMilli } }: ModelDemand,
    numbers: readonly number[],
  ): Promise<string | null> {
    if (numbers.length === 0) return null;
    const { failures, agoMs, reason } = await this.replicas.failures(tx, modelId);
    const waitMs = restartAfterMs(failures) - agoMs;
    if (waitMs > 0) {
      const last = failures === 1 ? 'The last replica' : `The last ${failures} replicas`;
      return `${last} failed, ${reason ?? 'for no reason that is known'}; the next one is started in ${Math.ceil(waitMs / 1_000)} s`;
    }
    const planned = await this.plan.serving(modelId, { maxSeconds: replicaSeconds }, tx);
    if (!planned.ok) return this.refused(modelId, planned.error);
    const whole = planned.value;
    const job =
      gpuShareMilli === 1_000 ? whole : { ...whole, resources: { ...whole.resources, gpuShareMilli } };
    for (const replica of numbers) {
      const submitted = await submitPlanned(
        this.submit,
        job,
        {
          kind: 'serve',
          account: { kind: 'operations' },
          attemptLimit: 20,
          requestKey: null,
          replica,
          submittedBy: 'scheduler',
        },
        tx,
      );
      if (!submitted.ok) return this.refused(modelId, submitted.error);
    }
    return null;
  }

  private refused(modelId: string, problem: { readonly code: string; readonly detail: string }): string {
    this.log.warn({ modelId, problem }, 'a wanted model cannot be served');
    return `${problem.code}: ${problem.detail}`;
  }
}

/** Serve jobs with what gateways tell of them. */
export function withLoads(live: readonly ServeJob[], loads: readonly ReplicaLoad[]) {
  const inFlightOf = new Map(loads.map((load) => [load.jobId, load.inFlight]));
  return live.map((job) => ({
    ...job,
    isConnected: inFlightOf.has(job.jobId),
    inFlight: inFlightOf.get(job.jobId) ?? 0,
  }));
}

/** Whether a model needs a transaction at all. */
function isDue(
  demand: ModelDemand | undefined,
  live: readonly ServeJob[],
  loads: readonly ReplicaLoad[],
): boolean {
  const wanted = demand?.replicas ?? 0;
  if (wanted !== (demand?.wantedReplicas ?? 0)) return true;
  const { start, takeBack, leave, end } = planReplicas(wanted, withLoads(live, loads));
  if (takeBack.length + leave.length + end.length > 0) return true;
  const wasRefusedJustNow = demand?.refusal != null && demand.refusal.agoMs < tryAgainMs;
  return start.length > 0 && !wasRefusedJustNow;
}
