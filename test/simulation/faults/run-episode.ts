import { createHash } from 'node:crypto';
import { Ledger } from '@beamtime/access';
import { type IdKind, mintId } from '@beamtime/kernel';
import type { AgentPrincipal } from '@beamtime/platform';
import { leaderSilentMs, migrate, openDataSource, Transactor } from '@beamtime/platform';
import { CancelJob, SubmitJob } from '@beamtime/scheduling';
import pg from 'pg';
import { checkEnd, type Disturbance } from './check-end.js';
import { installDatabaseClock, keepToTheClock, stopVacuum } from './database-clock.js';
import type { EpisodeHooks, EpisodeOptions, EpisodeResult } from './episode.js';
import { FacilityHost, simulatedSchemas } from './facility-host.js';
import { FaultPlan, stream } from './fault-plan.js';
import { rates } from './fault-rates.js';
import { GatedPostgres } from './gated-postgres.js';
import { MemberLab } from './member-lab.js';
import { Network } from './network.js';
import { submission } from './submission.js';
import { awayMs, SimulatedRedis, SimulatedStore } from './surroundings.js';
import { Trace } from './trace.js';
import { Host, VirtualTime } from './virtual-time.js';
import { World } from './world.js';

export type { EpisodeHooks, EpisodeOptions, EpisodeResult } from './episode.js';

/** The production default of BEAMTIME_LEASE_TTL_MS. */
export const leaseTtlMs = 30_000;
const slotMs = 5_000;
/** A standby looks every second, and takes the lock of a leader that has been silent for five. */
const electionMs = leaderSilentMs + 3_000;
/** So long after the last submission faults still strike: it is then that most attempts are the second of their job. */
const faultsGoOnMs = 60_000;
/** Without new faults everything must come to its end within this time. */
const calmMs = 30 * 60_000;

/**
 * One small world from its beginning to its end, with faults by the seed. Needs a copy of the prepared database of its
 * own, and `installVirtualTime` in force; one world at a time in a process. The same options give the same run.
 */
export async function runEpisode(
  databaseUrl: string,
  options: EpisodeOptions,
  hooks: EpisodeHooks = {},
): Promise<EpisodeResult> {
  return new Episode(databaseUrl, options, hooks).run();
}

/** Makes the template that episodes copy: all tables, with their defaults bound to the simulated clock. */
export async function prepareDatabase(databaseUrl: string): Promise<void> {
  await installDatabaseClock(databaseUrl);
  const dataSource = await openDataSource(databaseUrl, simulatedSchemas);
  await migrate(dataSource, simulatedSchemas);
  await dataSource.destroy();
  await stopVacuum(databaseUrl);
}

class Episode {
  private readonly time = new VirtualTime();
  private readonly random: () => number;
  private readonly trace: Trace;
  private readonly faults: FaultPlan;
  private readonly world: World;
  private readonly redis: SimulatedRedis;
  private readonly store = new SimulatedStore();
  private readonly network: Network;
  private readonly labs: MemberLab[] = [];
  private facility: FacilityHost[] = [];
  private readonly disturbances: Disturbance[] = [];
  private readonly admin: pg.Client;
  private readonly postgres: GatedPostgres;
  private readonly jobIds = new Map<number, string>();
  private facilityStarts = 0;
  private over = false;

  constructor(
    private readonly databaseUrl: string,
    private readonly options: EpisodeOptions,
    private readonly hooks: EpisodeHooks,
  ) {
    this.trace = new Trace(hooks.onLine);
    const { seed, only } = options;
    this.random = stream(seed, 'interleaving');
    this.faults = new FaultPlan(seed, only === undefined ? undefined : new Set(only), hooks.onPossibleFault);
    this.world = new World(this.time, seed);
    this.redis = new SimulatedRedis(
      this.time,
      this.faults,
      this.rated({ lost: rates.knockLost, away: rates.redisAwayAtKnock }),
    );
    this.admin = new pg.Client({ connectionString: databaseUrl });
    this.admin.on('error', () => undefined);
    this.postgres = new GatedPostgres({
      admin: this.admin,
      time: this.time,
      faults: this.faults,
      rates: this.rated(rates.statement),
      random: stream(seed, 'gate'),
      trace: this.trace,
      onCrash: (host) => this.crash(host),
      // Then a standby has to be elected.
      onFreeze: (forMs) => this.disturb(forMs + electionMs),
      onRestart: () => this.disturb(electionMs),
    });
    this.network = new Network(
      this.time,
      this.faults,
      this.rated(rates.message),
      () => this.facility,
      (token) =>
        ({
          kind: 'agent',
          keyId: this.idOf('ApiKey', token),
          clusterId: token,
          labId: this.idOf('Lab', 'all'),
        }) as AgentPrincipal,
      this.trace,
      (host) => this.labs.find((lab) => lab.runs(host))?.kill(host),
    );
  }

  private rate(probability: number): number {
    return probability * (this.options.intensity ?? 1);
  }
  private rated<T extends Record<string, number>>(probabilities: T): T {
    return Object.fromEntries(Object.entries(probabilities).map(([name, p]) => [name, this.rate(p)])) as T;
  }

  async run(): Promise<EpisodeResult> {
    await this.admin.connect();
    await keepToTheClock(this.admin);
    await this.admin.query('SET search_path = sim, pg_catalog, public');
    this.time.network = (host, url, init) => this.network.fetch(host, url, init);
    try {
      for (const slot of [0, 1]) await this.startFacility(slot);
      await this.drive(this.fillBooks());
      await this.openLabs();
      this.submitAll();
      this.everySlot(1);
      const lastSubmitMs = this.time.nowMs + (this.options.jobs / this.options.jobsPerSecond) * 1_000;
      await this.loop(lastSubmitMs);
      await this.loopUntilEnded(faultsGoOnMs);
      this.calm();
      await this.loopUntilEnded(calmMs);
      const figures = await checkEnd({
        admin: this.admin,
        world: this.world,
        jobIds: [...this.jobIds.values()],
        jobs: this.options.jobs,
        disturbances: this.disturbances,
        leaseTtlMs,
      });
      for (const what of this.network.unexpected.slice(0, 5))
        this.world.violate('an unexpected error', { what });
      return {
        ...figures,
        violations: this.world.violations,
        faults: this.faults.struck,
        virtualSeconds: Math.round(this.time.nowMs / 1_000),
        statements: this.postgres.statements,
        messages: this.network.messages,
        refused: this.network.refused,
        deadlocks: this.postgres.deadlocks,
        lockWaits: this.postgres.lockWaits,
        trace: this.trace.close(),
      };
    } finally {
      this.over = true;
      for (const one of this.facility) one.host.alive = false;
      for (const lab of this.labs) for (const { host } of lab.processes) host.alive = false;
      await this.admin.query(
        'SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()',
      );
      await this.admin.end();
    }
  }

  /** Lets the world go on until then. */
  private async loop(untilMs: number, isOver: () => boolean = () => false): Promise<void> {
    for (;;) {
      await this.postgres.settle();
      if (isOver()) return;
      const serial = this.time.advance(untilMs);
      if (serial === undefined) {
        this.time.nowMs = Math.max(this.time.nowMs, untilMs);
        return;
      }
      for (const work of serial) await work();
    }
  }

  private async loopUntilEnded(atMostMs: number): Promise<void> {
    const deadlineMs = this.time.nowMs + atMostMs;
    while (this.time.nowMs < deadlineMs && !(await this.allEnded()))
      await this.loop(this.time.nowMs + slotMs);
  }

  /** Lets the world go on until this work is done. */
  private async drive<T>(work: Promise<T>): Promise<T> {
    let done = false;
    void work.then(
      () => (done = true),
      () => (done = true),
    );
    await this.loop(this.time.nowMs + 600_000, () => done);
    return work;
  }

  private async startFacility(slot: number): Promise<void> {
    const name = `facility${slot}.${++this.facilityStarts}`;
    const { seed } = this.options;
    const host = new Host(
      name,
      this.time,
      this.clockOf(name),
      stream(seed, name),
      stream(seed, `${name}/start`),
    );
    const { databaseUrl, postgres, redis, store } = this;
    const started = await FacilityHost.start(host, { databaseUrl, leaseTtlMs, postgres, redis, store });
    // Nest draws names from a supply that all worlds of this process share: now more, now fewer.
    host.entropy = stream(seed, `${name}/entropy`);
    this.hooks.spoil?.(started.app);
    this.facility = [...this.facility.filter((one) => one.host.alive), started];
  }

  /** Wall clocks are off by up to five seconds; what counts time runs within a percent. */
  private clockOf(name: string): { offsetMs: number; rate: number } {
    const draw = stream(this.options.seed, `clock/${name}`);
    return { offsetMs: (draw() - 0.5) * 10_000, rate: 1 + (draw() - 0.5) * 0.02 };
  }

  /** A process of the facility is gone, with all its connections; another takes its place after a while. */
  private crash(host: Host): void {
    if (!host.alive) return;
    host.alive = false;
    const downMs = 1_000 + 9_000 * host.random();
    this.disturb(electionMs);
    this.time.serially(0, async () => {
      await this.postgres.terminateAllOf(host);
      this.network.noticeDeaths();
    });
    const slot = Number(/\d/.exec(host.name)?.[0]);
    this.time.serially(downMs, () => this.startFacility(slot));
  }

  private disturb(forMs: number): void {
    this.disturbances.push({ fromMs: this.time.nowMs, untilMs: this.time.nowMs + forMs });
  }

  /** Until it is told that they are; what is said again changes nothing. */
  private async fillBooks(): Promise<void> {
    for (;;) {
      const chosen = this.anyFacility();
      const filled =
        chosen !== undefined &&
        (await Promise.race([
          this.fillBooksAt(chosen).then(
            () => true,
            () => false,
          ),
          this.time.sleep(40_000, undefined).then(() => false),
        ]));
      if (filled) return;
      await this.time.sleep(1_000, undefined);
    }
  }

  private fillBooksAt({ host, app }: FacilityHost): Promise<void> {
    return host.run(async () => {
      const ledger = app.get(Ledger, { strict: false });
      const actor = 'simulation';
      const unit = 'gpu_seconds' as const;
      const outcomes = await app.get(Transactor).do((tx) =>
        ledger.apply(
          [
            { kind: 'open', unit, owner: 'operations', accountKind: 'fund', parent: 'consortium', actor },
            {
              kind: 'transfer',
              id: 'fill',
              unit,
              from: 'issuer',
              to: 'operations',
              amount: 10_000_000,
              reference: 'simulation',
              actor,
            },
          ],
          tx,
        ),
      );
      for (const outcome of outcomes) if (!outcome.ok) throw new Error(outcome.error.detail);
    });
  }

  private idOf(kind: IdKind, name: string): string {
    const bytes = createHash('sha256').update(`${this.options.seed}/${name}`).digest().subarray(0, 10);
    return mintId(kind, this.postgres.clockMs, bytes);
  }

  private async openLabs(): Promise<void> {
    const { labs, gpusPerLab, seed } = this.options;
    for (let n = 0; n < labs; n++) {
      const name = `lab${n}`;
      const clusterId = this.idOf('Cluster', name);
      await this.admin.query('INSERT INTO scheduling.cluster (id, lab_id, name) VALUES ($1, $2, $3)', [
        clusterId,
        this.idOf('Lab', name),
        name,
      ]);
      let clocks = 0;
      const lab = new MemberLab(
        name,
        clusterId,
        gpusPerLab,
        'sim',
        this.time,
        this.world,
        this.store,
        () => this.clockOf(`${name}/${clocks++}`),
        stream(seed, name),
        { faults: this.faults, rates: this.rated(rates.machineStep) },
        () => !this.over,
      );
      this.labs.push(lab);
      lab.start();
    }
    // Until they are known, no job can ever run.
    await this.loop(this.time.nowMs + 2_000);
  }

  private submitAll(): void {
    const { jobs, jobsPerSecond, stepsMost, seed } = this.options;
    const draw = stream(seed, 'jobs');
    for (let n = 0; n < jobs; n++) {
      const atMs = this.time.nowMs + ((n + draw()) / jobsPerSecond) * 1_000;
      const gpus = draw() < 0.8 ? 1 : draw() < 0.7 ? 2 : 4;
      const steps = 1 + Math.floor(draw() ** 3 * stepsMost);
      const saves = draw() < 0.3;
      const unlucky = draw();
      const fails = unlucky < 0.01 ? 'always-badly' : unlucky < 0.05 ? 'once' : 'never';
      this.time.at(atMs, undefined, () => void this.submit(n, gpus, { steps, saves, fails }));
    }
  }

  /** Asks until it is told that the job is there. */
  private async submit(
    n: number,
    gpus: number,
    nature: { steps: number; saves: boolean; fails: 'never' | 'once' | 'always-badly' },
  ): Promise<void> {
    for (;;) {
      const chosen = this.anyFacility();
      if (chosen !== undefined) {
        const { host, app } = chosen;
        const jobId = await Promise.race([
          host
            .run(() => app.get(SubmitJob).execute(submission(n, gpus, nature.steps)))
            .then(
              (made) => (made.ok ? made.value.jobId : undefined),
              () => undefined,
            ),
          this.time.sleep(40_000, undefined).then(() => undefined),
        ]);
        if (jobId !== undefined) {
          this.world.describe(jobId, nature);
          this.jobIds.set(n, jobId);
          this.wishFor(n, jobId);
          return;
        }
      }
      await this.time.sleep(1_000, undefined);
    }
  }

  /** Some jobs are cancelled later, some preempted. */
  private wishFor(n: number, jobId: string): void {
    const { faults } = this;
    if (faults.strikes(`job/${n}/cancelled`, rates.jobCancelled)) {
      const delayMs = faults.amount(`job/${n}/cancelled`, 100, 40_000);
      this.time.after(
        delayMs,
        undefined,
        () =>
          void this.ask(({ app }) =>
            app
              .get(CancelJob)
              .execute({ jobId, reason: 'no longer wanted', actor: 'simulation', allowed: () => true }),
          ),
      );
    }
    if (faults.strikes(`job/${n}/preempted`, rates.jobPreempted)) {
      const delayMs = faults.amount(`job/${n}/preempted`, 100, 40_000);
      // As a policy does it: the reason on the live attempt, which the agent hears with its next sync.
      this.time.after(
        delayMs,
        undefined,
        () =>
          void this.ask(({ app }) =>
            app.get(Transactor).do((tx) =>
              tx.changed(
                `UPDATE scheduling.attempt SET preempt_reason = 'somebody has a better claim'
             WHERE job_id = $1 AND state IN ('accepted', 'staging', 'running')`,
                [jobId],
              ),
            ),
          ),
      );
    }
  }

  private async ask(work: (one: FacilityHost) => Promise<unknown>): Promise<void> {
    const chosen = this.anyFacility();
    if (chosen === undefined) return;
    await chosen.host.run(() => work(chosen).catch(() => undefined));
  }

  private anyFacility(): FacilityHost | undefined {
    const alive = this.facility.filter(({ host }) => host.alive);
    return alive[Math.floor(this.random() * alive.length)];
  }

  /** What happens to machines, processes and lines, drawn every five seconds. */
  private everySlot(slot: number): void {
    if (this.over) return;
    this.time.serially(slotMs, async () => {
      if (!this.faults.calm) {
        for (const lab of this.labs) this.troubleLab(lab, `${lab.name}/${slot}`);
        for (const { host } of this.facility) this.troubleFacility(host, `facility${host.name[8]}/${slot}`);
        await this.troubleServers(`servers/${slot}`);
      }
      this.everySlot(slot + 1);
    });
  }

  private troubleLab(lab: MemberLab, name: string): void {
    const { faults } = this;
    const last = lab.processes.at(-1)?.host;
    if (last === undefined) return;
    if (faults.strikes(`${name}/killed`, this.rate(rates.labKilled))) lab.kill(last);
    if (faults.strikes(`${name}/frozen`, this.rate(rates.labFrozen)))
      last.freeze(faults.amount(`${name}/frozen`, 1_000, 90_000));
    if (faults.strikes(`${name}/cut`, this.rate(rates.labCut)))
      this.network.cutUntilMs.set(lab.name, this.time.nowMs + faults.amount(`${name}/cut`, 1_000, 100_000));
    if (faults.strikes(`${name}/twin`, this.rate(rates.labTwin))) lab.start();
  }

  private troubleFacility(host: Host, name: string): void {
    const { faults } = this;
    if (!host.alive) return;
    if (faults.strikes(`${name}/crashed`, this.rate(rates.facilityCrashed))) this.crash(host);
    if (faults.strikes(`${name}/frozen`, this.rate(rates.facilityFrozen))) {
      this.postgres.freeze(host, faults.amount(`${name}/frozen`, 500, 45_000));
    }
  }

  private async troubleServers(name: string): Promise<void> {
    const { faults } = this;
    if (faults.strikes(`${name}/redis`, this.rate(rates.redisAway)))
      this.redis.awayUntilMs = this.time.nowMs + faults.amount(`${name}/redis`, ...awayMs);
    if (faults.strikes(`${name}/clock`, this.rate(rates.clockStep))) {
      this.postgres.offsetMs = faults.amount(`${name}/clock`, -5_000, 5_000);
      this.disturb(10_000);
    }
    if (faults.strikes(`${name}/postgres`, this.rate(rates.connectionsLost))) {
      this.disturb(2_000);
      for (const { host } of this.facility) await this.postgres.terminateAllOf(host);
    }
  }

  private calm(): void {
    this.faults.calm = true;
    this.network.cutUntilMs.clear();
    this.redis.awayUntilMs = 0;
  }

  private async allEnded(): Promise<boolean> {
    if (this.jobIds.size < this.options.jobs) return false;
    const { rows } = await this.admin.query(
      `SELECT 1 FROM scheduling.job WHERE state IN ('queued', 'running') LIMIT 1`,
    );
    return rows.length === 0;
  }
}
