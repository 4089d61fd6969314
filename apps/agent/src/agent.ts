import { randomUUID } from 'node:crypto';
import {
  type AgentTimes,
  type AttemptRef,
  agentLimits,
  type BodyOf,
  type ClusterInventory,
  cachedInputDigits,
  registerAgent,
  type SyncAnswer,
  syncAgent,
} from '@beamtime/contracts';
import type { Executor } from '@beamtime/executors';
import type { AgentConfig } from './agent-config.js';
import { type AgentFiles, DiskFiles } from './attempt-files.js';
import { AttemptRun } from './attempt-run.js';
import { type CommandPlace, commandPlace } from './command/command-attempt.js';
import { declineOffer } from './decline-offer.js';
import { Facility, Fenced, isPassing, KeyRefused } from './facility.js';
import { GpuSlots } from './gpu-slots.js';
import type { Log } from './log.js';
import { Offering } from './offering.js';
import { type Refusal, refusalOf } from './own-policy.js';
import { pause } from './pause.js';
import { ServeTunnels } from './tunnel/serve-tunnels.js';

export const agentVersion = '0.1.0';

const retryBaseMs = 200;
const retryMaxMs = 2_000;
const relieveEveryMs = 10_000;

/**
 * The facility dictates intervals, but not without bounds: a mistaken or malicious one must not put this agent to sleep,
 * nor let it keep work for longer than an hour without being heard of.
 */
const boundsMs = { leaseTtlMs: 3_600_000, longPollMs: 120_000, pollIntervalMs: 60_000 } as const;

export function boundedTimes(times: AgentTimes): AgentTimes {
  const leaseTtlMs = Math.min(times.leaseTtlMs, boundsMs.leaseTtlMs);
  return {
    leaseTtlMs,
    longPollMs: Math.min(times.longPollMs, boundsMs.longPollMs),
    pollIntervalMs: Math.min(times.pollIntervalMs, boundsMs.pollIntervalMs, Math.floor(leaseTtlMs / 2)),
    stopMarginMs: Math.min(times.stopMarginMs, leaseTtlMs),
  };
}

type AgentSync = BodyOf<typeof syncAgent>;
type Heard = AttemptRef & { what: 'offer' | 'cancel' | 'preempt' };
type Registration = { incarnation: number; times: AgentTimes; gatewayUrls: readonly string[] };

/** The agent of one cluster: dials out, takes what its policy admits, and never outlives a lease. */
export class Agent {
  private readonly facility: Facility;
  private readonly slots: GpuSlots;
  private readonly runs = new Map<string, { run: AttemptRun; done: Promise<void> }>();
  private readonly stopping = new AbortController();
  /** Cuts short a long poll or a pause when this side has something to say. */
  private hurry = new AbortController();
  private tunnels: ServeTunnels | undefined;
  private draining = false;
  /** What the last answer said, and need not be said again: offers that find no GPU yet, stops under way. */
  private heard: Heard[] = [];
  private readonly offer: Offering;
  private policy: AgentConfig['policy'];
  /** The version of the kept inputs that the facility knows. */
  private saidCacheVersion: number | undefined;
  private relievedAtMs = Number.NEGATIVE_INFINITY;
  private readonly commands: CommandPlace | undefined;

  constructor(
    private readonly config: AgentConfig,
    private readonly executor: Executor,
    private readonly log: Log,
    private readonly files: AgentFiles = new DiskFiles(config.stateDir, config.cacheBytesMax),
  ) {
    this.policy = config.policy;
    this.facility = new Facility(config.facility.replace(/\/$/, ''), config.key);
    this.offer = new Offering(config, executor, log);
    this.slots = new GpuSlots(0);
    this.commands =
      config.containers === undefined
        ? undefined
        : commandPlace(config.containers, [...config.ownFiles, config.stateDir]);
  }

  /** Runs until stopped. Throws Fenced when a newer agent took over, KeyRefused when the key is of no use. */
  async run(): Promise<void> {
    await this.offer.begin(this.stopping.signal);
    if (this.stopping.signal.aborted) return;
    const stopped = await this.endLeftovers();
    const registration = await this.register(stopped);
    const { incarnation, gatewayUrls } = registration;
    this.tunnels = new ServeTunnels(
      this.config.gateways ?? (gatewayUrls.length > 0 ? gatewayUrls : [this.config.facility]),
      this.config.key,
      this.log,
    );
    this.log('info', 'registered', { incarnation, leaseTtlMs: registration.times.leaseTtlMs });
    try {
      await this.syncUntilStopped(registration);
    } catch (error) {
      if (error instanceof Fenced) for (const { run } of this.runs.values()) run.leave(error);
      throw error;
    } finally {
      await Promise.all([...this.runs.values()].map(({ done }) => done));
      this.tunnels.closeAll();
    }
  }

  /** Takes nothing new; what runs goes on. */
  drain(on = true): void {
    this.draining = on;
    this.log('info', on ? 'draining: nothing new is taken' : 'taking work again');
    this.hurry.abort();
  }

  /** Takes over another policy; what runs already goes on, what is offered from now on is judged by it. */
  adopt(policy: AgentConfig['policy']): void {
    this.policy = policy;
    this.log('info', 'another policy counts from now on', { policy });
    this.hurry.abort();
  }

  /** Ends in order: what runs saves its state and goes back to the queue. */
  stop(): void {
    if (this.stopping.signal.aborted) return;
    this.log('info', 'stopping: running attempts save their state and go back to the queue');
    this.stopping.abort();
    this.hurry.abort();
  }

  /** Ends at once. */
  kill(): void {
    this.stop();
    for (const { run } of this.runs.values()) run.leave(new Error('the agent is being ended'));
  }

  /** Programs that an earlier process of this agent left running, and folders without one. Never anybody else's. */
  private async endLeftovers(): Promise<AttemptRef[]> {
    const stopped = new Map<string, AttemptRef>();
    const left = await this.executor.leftovers();
    await Promise.all(
      left.map(async (program) => {
        const { jobId, attempt } = program;
        this.log('warn', 'ending what an earlier agent left behind', { job: jobId, attempt });
        await this.executor.kill(program);
        await this.executor.forget(program);
        stopped.set(keyOf(program), { jobId, attempt });
      }),
    );
    for (const ref of await this.files.clearLeftovers()) stopped.set(keyOf(ref), ref);
    return [...stopped.values()];
  }

  private async register(stopped: readonly AttemptRef[]): Promise<Registration> {
    const instanceId = randomUUID();
    const body = { instanceId, agentVersion, ...this.offering(), stopped: [...stopped] };
    for (let tries = 0; ; tries++) {
      try {
        return await this.facility.once(registerAgent, { body });
      } catch (error) {
        // A wrong key at the start will not put itself right.
        if (error instanceof KeyRefused || !isPassing(error)) throw error;
        if (this.stopping.signal.aborted) throw error;
        if (tries === 0)
          this.log('warn', 'the facility cannot be reached yet', { error: (error as Error).message });
        await pause(Math.min(retryMaxMs, retryBaseMs * 2 ** tries), this.stopping.signal);
      }
    }
  }

  private async syncUntilStopped(registration: Registration): Promise<void> {
    let times = boundedTimes(registration.times);
    let failures = 0;
    while (!this.stopping.signal.aborted || this.runs.size > 0) {
      const sentAtMs = performance.now();
      const stopping = this.stopping.signal.aborted;
      this.hurry = new AbortController();
      try {
        const answer = await this.syncOnce(registration.incarnation, times);
        if (failures > 0) this.log('info', 'the facility is back');
        failures = 0;
        times = boundedTimes(answer.times);
        this.obey({ ...answer, times }, sentAtMs, registration);
      } catch (error) {
        if (this.hurry.signal.aborted) continue;
        if (!isPassing(error)) throw error;
        if (failures++ === 0) {
          this.log('warn', 'sync failed; trying again while the leases last', {
            error: (error as Error).message,
          });
        }
      }
      // Only after the facility has heard that we take nothing more, or cannot hear it.
      if (stopping) this.askAllToEnd();
      const backOffMs = Math.min(times.leaseTtlMs / 8, retryBaseMs * 2 ** failures);
      await pause(failures === 0 ? times.pollIntervalMs : backOffMs, this.hurry.signal);
    }
  }

  private askAllToEnd(): void {
    for (const { run } of this.runs.values()) run.ask({ kind: 'preempt', reason: 'the agent is stopping' });
  }

  private async syncOnce(incarnation: number, times: AgentTimes): Promise<SyncAnswer> {
    const held = [...this.runs.values()].filter(({ run }) => run.accepted);
    const stopping = this.stopping.signal.aborted;
    const cached = this.cacheNews();
    const answer = await this.facility.once(
      syncAgent,
      {
        body: {
          incarnation,
          ...this.offering(),
          draining: this.isDraining(),
          attempts: held.map(({ run }) => ({ jobId: run.jobId, attempt: run.attempt, state: run.state })),
          heard: this.heard,
          ...(cached === undefined ? {} : { cached }),
          wait: !stopping,
        },
      },
      {
        timeoutMs: times.longPollMs + Math.max(1_000, times.leaseTtlMs / 2),
        signal: this.hurry.signal,
      },
    );
    if (cached !== undefined) this.saidCacheVersion = cached.version;
    return answer;
  }

  /** What lies here, where that is another than the facility knows. */
  private cacheNews(): AgentSync['cached'] {
    const content = this.files.cached();
    if (content === undefined || content.version === this.saidCacheVersion) return undefined;
    const inputs = content.sha256
      .slice(0, agentLimits.cachedInputs)
      .map((sha256) => sha256.slice(0, cachedInputDigits));
    return { version: content.version, inputs };
  }

  private offering(): { inventory: ClusterInventory; policy: AgentConfig['policy'] } {
    this.offer.refreshWhenOld();
    this.relieveWhenDue();
    const inventory = this.offer.inventory();
    this.slots.resize(inventory.gpus);
    return { policy: this.policy, inventory };
  }

  /** Programs come first on the disk. */
  private relieveWhenDue(): void {
    if (performance.now() - this.relievedAtMs < relieveEveryMs) return;
    this.relievedAtMs = performance.now();
    this.files
      .relieve()
      .catch((error: Error) => this.log('warn', 'the disk cannot be looked at', { error: error.message }));
  }

  private isDraining(): boolean {
    return this.draining || this.stopping.signal.aborted || this.offer.draining || this.files.drainAsked();
  }

  private obey(answer: SyncAnswer, sentAtMs: number, registration: Registration): void {
    const { leaseTtlMs, stopMarginMs } = answer.times;
    const runOf = (ref: AttemptRef): AttemptRun | undefined => this.runs.get(keyOf(ref))?.run;
    for (const ref of answer.renewed) runOf(ref)?.renew(sentAtMs, leaseTtlMs, stopMarginMs);
    for (const ref of answer.stop)
      runOf(ref)?.leave(new Fenced('attempt', 'the facility gave it to another'));
    for (const ref of answer.cancel) runOf(ref)?.ask({ kind: 'cancel', reason: ref.reason });
    for (const ref of answer.preempt) runOf(ref)?.ask({ kind: 'preempt', reason: ref.reason });
    for (const offer of answer.offers) this.consider(offer, { ...registration, times: answer.times });
    const told = (what: Heard['what']) => (ref: AttemptRef) => ({
      jobId: ref.jobId,
      attempt: ref.attempt,
      what,
    });
    this.heard = [
      ...answer.offers.map(told('offer')),
      ...answer.cancel.map(told('cancel')),
      ...answer.preempt.map(told('preempt')),
    ];
  }

  /** A batch system that refuses or is silent: nothing starts now, which says nothing about what there is. */
  private unavailable(): Refusal | null {
    const reason = this.executor.unavailable();
    return reason === null ? null : { code: 'draining', reason };
  }

  private consider(offer: SyncAnswer['offers'][number], registration: Registration): void {
    if (this.runs.has(keyOf(offer)) || this.tunnels === undefined) return;
    const earlier = [...this.runs.values()].find(({ run }) => run.jobId === offer.jobId)?.run;
    // Where a job goes on at the place that it has just left, its offer may come before all is cleared away here. It
    // comes again; should that take long, another cluster may have it.
    if (earlier?.hasEnded === true && offer.expiresInMs > registration.times.leaseTtlMs / 2) return;
    const refusal =
      refusalOf(offer, this.policy, {
        gpus: this.slots.count,
        draining: this.isDraining(),
        hourUtc: new Date().getUTCHours(),
        runsJob: earlier !== undefined,
      }) ?? this.unavailable();
    if (refusal !== null) {
      void declineOffer(this.facility, offer, registration.incarnation, refusal, this.log);
      return;
    }
    // A program that has just ended may not have given back its GPUs yet. The offer comes again with the next sync,
    // which its end brings on; declining would cost the job an attempt and a wait.
    const { gpus, gpuShareMilli } = offer.resources;
    const grant =
      offer.gpuSlot === undefined || gpuShareMilli === undefined
        ? this.slots.take(gpus)
        : this.slots.takeShare(offer.gpuSlot, gpuShareMilli);
    if (grant === null) return;
    const run = new AttemptRun(offer, {
      facility: this.facility,
      executor: this.executor,
      files: this.files,
      incarnation: registration.incarnation,
      grant,
      times: registration.times,
      tunnels: this.tunnels,
      commands: this.commands,
      log: this.log,
    });
    const done = run.run().finally(() => {
      this.slots.giveBack(grant);
      this.runs.delete(keyOf(offer));
      // There is room again: the offers that found none are news once more.
      this.heard = this.heard.filter(({ what }) => what !== 'offer');
      this.hurry.abort();
    });
    this.runs.set(keyOf(offer), { run, done });
  }
}

const keyOf = (ref: AttemptRef): string => `${ref.jobId}.${ref.attempt}`;
