import { type Leadership, Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { AgentBell } from '../agent-bell.js';
import { type Decisions, decide } from '../domain/decide.js';
import { type CachedBytes, liesElsewhere, startsToLookUp, withCachedBytes } from '../domain/locality.js';
import type { SharesPolicy } from '../domain/policy.js';
import type { Snapshot } from '../domain/snapshot.js';
import { LEASE_TIMES, type LeaseTimes, SHARES_POLICY } from '../ports.js';
import { keepShadows } from '../shadows/keep-shadows.js';
import { loadCachedBytes } from './load-cached-bytes.js';
import { loadSnapshot } from './load-snapshot.js';
import { QueueMemory } from './load-waiting.js';
import { offerPlacements } from './offer-placements.js';
import { preemptAttempts } from './preempt-attempts.js';
import { regroupJobs } from './regroup-jobs.js';
import { Sweep } from './sweep.js';

/** Placements applied in one transaction: short locks, few commits. */
const placementsPerTransaction = 500;

/** How long the parts of one turn took, in milliseconds. */
export interface CycleTimes {
  readonly sweep: number;
  /** Reading the snapshot. */
  readonly load: number;
  readonly decide: number;
  /** Writing the offers. */
  readonly apply: number;
}

/** One turn of the scheduler: what passes with time, then snapshot → decide → apply. Only the leader runs it. */
@Injectable()
export class RunCycle {
  /** Of the time that this instance leads; another leader's offers change what was read before. */
  private memory = new QueueMemory();
  private memoryOfEpoch: bigint | undefined;

  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(Sweep) private readonly sweep: Sweep,
    @Inject(AgentBell) private readonly bell: AgentBell,
    @Inject(LEASE_TIMES) private readonly times: LeaseTimes,
    @Inject(SHARES_POLICY) private readonly policy: SharesPolicy,
  ) {}

  /** Answers what it decided, and how many waiting jobs it marked since quotas of GPUs have changed. */
  async run(
    leadership: Leadership,
  ): Promise<Decisions & { readonly tookMs: CycleTimes; readonly regrouped: number }> {
    const lap = stopwatch();
    await this.sweep.run(leadership);
    if (this.memoryOfEpoch !== leadership.epoch) {
      this.memory = new QueueMemory();
      this.memoryOfEpoch = leadership.epoch;
    }
    const sweep = lap();
    const { snapshot, nowMs } = await loadSnapshot(this.transactor.read, { memory: this.memory });
    const load = lap();
    const { decisions, cached } = await this.decide(snapshot, nowMs, Number(leadership.epoch));
    this.memory.forget(decisions.place.map(({ jobId }) => jobId));
    const decided = lap();
    for (let at = 0; at === 0 || at < decisions.place.length; at += placementsPerTransaction) {
      await this.apply(leadership, cached, {
        place: decisions.place.slice(at, at + placementsPerTransaction),
        shadow: at === 0 ? decisions.shadow : [],
      });
    }
    await this.preempt(leadership, decisions);
    const regrouped = await this.regroup(leadership);
    return { ...decisions, regrouped, tookMs: { sweep, load, decide: decided, apply: lap() } };
  }

  private async regroup(leadership: Leadership): Promise<number> {
    const { misplaced } = this.memory;
    if (misplaced.length === 0) return 0;
    return this.transactor.do((tx) => regroupJobs(tx, leadership, misplaced));
  }

  /**
   * Where inputs lie is looked up for the few jobs that start, not for the thousands that are looked at; where that could
   * matter the decision is made again, with it.
   */
  private async decide(
    snapshot: Snapshot,
    nowMs: number,
    seed: number,
  ): Promise<{ decisions: Decisions; cached: CachedBytes }> {
    const decisions = decide(snapshot, nowMs, seed, this.policy);
    const cached = await loadCachedBytes(this.transactor.read, startsToLookUp(snapshot, decisions.place));
    if (!liesElsewhere(decisions.place, cached)) return { decisions, cached };
    return { decisions: decide(withCachedBytes(snapshot, cached), nowMs, seed, this.policy), cached };
  }

  private async preempt(leadership: Leadership, { preempt }: Decisions): Promise<void> {
    if (preempt.length === 0) return;
    const asked = await this.transactor.do((tx) => preemptAttempts(tx, leadership, preempt));
    for (const clusterId of asked) this.bell.ring(clusterId);
  }

  /** The schedules of the labs alone go on in the transaction of the first offers: they follow from one snapshot. */
  private async apply(
    leadership: Leadership,
    cached: CachedBytes,
    { place, shadow }: Pick<Decisions, 'place' | 'shadow'>,
  ): Promise<void> {
    if (place.length + shadow.length === 0) return;
    const offered = await this.transactor.do(async (tx) => {
      const made = await offerPlacements(tx, leadership, place, {
        offerTtlMs: this.times.offerTtlMs,
        cached,
      });
      await keepShadows(tx, leadership, shadow);
      return made;
    });
    for (const clusterId of new Set(offered.map((offer) => offer.cluster_id))) this.bell.ring(clusterId);
  }
}

/** Answers the milliseconds since it was last asked. */
function stopwatch(): () => number {
  let last = performance.now();
  return () => {
    const now = performance.now();
    const passed = now - last;
    last = now;
    return passed;
  };
}
