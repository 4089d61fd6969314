import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LedgerModule } from '@beamtime/access';
import { CatalogueModule } from '@beamtime/catalogue';
import { type JobView, registerCluster, showCluster, submitJob } from '@beamtime/contracts';
import { SchedulingModule } from '@beamtime/scheduling';
import { type DisposableRedis, startDisposableRedis } from '@beamtime/testkit';
import { expect } from 'vitest';
import { AgentProcess } from '../../../apps/scheduler/src/agent-process.js';
import { AgentsController } from '../../../apps/scheduler/src/agents.controller.js';
import { ClustersController } from '../../../apps/scheduler/src/clusters.controller.js';
import { JobsController } from '../../../apps/scheduler/src/jobs.controller.js';
import { schedulingPorts } from '../../../apps/scheduler/src/join-ports.js';
import { SubmissionsController } from '../../../apps/scheduler/src/submissions.controller.js';
import {
  type SchedulingForTest,
  schedulingForTest,
  trainTemplate,
} from '../../../apps/scheduler/src/testing.js';

/** Long enough for a busy machine, short enough for a test. */
export const realLeaseMs = 6_000;
const schedulerMain = fileURLToPath(new URL('../../../apps/scheduler/dist/main.js', import.meta.url));
const witness = fileURLToPath(new URL('./witness-runner.mjs', import.meta.url));
export const gpuType = 'witnessed';

/** The API without a scheduler in it, so that only processes which a test can stop stand for election. */
class ApiOnly {}
const apiOnly = {
  module: ApiOnly,
  imports: [
    SchedulingModule.register({ ports: schedulingPorts, schedules: false, imports: [LedgerModule] }),
    CatalogueModule,
  ],
  controllers: [ClustersController, JobsController, SubmissionsController, AgentsController],
};

/** An API, scheduler processes, a Redis and agents, each of which may be stopped or killed. */
export class RealFacility {
  readonly schedulers: ChildProcess[] = [];
  readonly agents: AgentProcess[] = [];
  readonly witnessLog: string;
  private readonly folder = mkdtempSync(join(tmpdir(), 'beamtime-real-faults-'));

  private constructor(
    readonly at: SchedulingForTest,
    readonly redis: DisposableRedis,
  ) {
    this.witnessLog = join(this.folder, 'witness');
  }

  static async start(schedulers: number): Promise<RealFacility> {
    const redis = await startDisposableRedis();
    const settings = { REDIS_URL: redis.url, BEAMTIME_LEASE_TTL_MS: String(realLeaseMs) };
    const facility = new RealFacility(await schedulingForTest(settings, apiOnly), redis);
    for (let n = 0; n < schedulers; n++) await facility.startScheduler();
    if (schedulers > 0) await expect.poll(() => facility.leader(), { timeout: 180_000 }).toBeDefined();
    return facility;
  }

  /** @returns its port. */
  async startScheduler(more: Record<string, string> = {}): Promise<number> {
    const { config } = this.at.service;
    const port = await freePort();
    const child = spawn(process.execPath, [schedulerMain], {
      // What keeps it from starting should be seen.
      stdio: ['ignore', 'ignore', 'inherit'],
      env: {
        PATH: process.env['PATH'],
        DATABASE_URL: config.DATABASE_URL,
        REDIS_URL: config.REDIS_URL,
        BEAMTIME_QUEUE_PREFIX: config.BEAMTIME_QUEUE_PREFIX,
        BEAMTIME_SECRET: config.BEAMTIME_SECRET,
        BEAMTIME_STATE_DIR: config.BEAMTIME_STATE_DIR,
        BEAMTIME_LEASE_TTL_MS: String(realLeaseMs),
        BEAMTIME_LOG_LEVEL: 'fatal',
        PORT: String(port),
        ...more,
      },
    });
    this.schedulers.push(child);
    return port;
  }

  /** The process that was elected last, if it runs. */
  async leader(): Promise<ChildProcess | undefined> {
    const row = await this.at.transactor.read.row<{ holder: string }>(
      `SELECT holder FROM platform.leader WHERE name = 'scheduler'`,
    );
    return this.schedulers.find(
      (child) => isRunning(child) && row?.holder.endsWith(`/${child.pid}`) === true,
    );
  }

  async agent(
    name: string,
    url = this.at.service.url,
    prefix: readonly string[] = [],
  ): Promise<AgentProcess> {
    const { cluster, agentKey } = await this.at.operator.call(registerCluster, {
      body: { labId: this.at.labId, name: `${name}-${randomUUID().slice(0, 8)}` },
    });
    const command = [process.execPath, witness, this.witnessLog];
    const agent = new AgentProcess(cluster.clusterId, url, agentKey, gpuType, command);
    agent.prefix = prefix;
    this.agents.push(agent.start());
    await this.isUp(agent);
    return agent;
  }

  isUp(agent: AgentProcess): Promise<void> {
    const of = { params: { clusterId: agent.clusterId } };
    return expect
      .poll(async () => (await this.at.operator.call(showCluster, of)).state, { timeout: 60_000 })
      .toBe('active');
  }

  submit(steps: number): Promise<JobView> {
    return this.at.researcher.call(submitJob, {
      body: {
        labId: this.at.labId,
        runner: { ...trainTemplate, training: { ...trainTemplate.training, steps } },
        resources: { gpus: 1, gpuType, maxSeconds: 600 },
        attemptLimit: 20,
      },
    });
  }

  /** When each program was alive, as its witness wrote it down. */
  lives(): { jobId: string; attempt: number; firstMs: number; lastMs: number }[] {
    const lives = new Map<string, { jobId: string; attempt: number; firstMs: number; lastMs: number }>();
    if (!existsSync(this.witnessLog)) return [];
    for (const line of readFileSync(this.witnessLog, 'utf8').split('\n')) {
      const [jobId = '', attempt, , at] = line.split(' ');
      if (jobId === '' || at === undefined) continue;
      const key = `${jobId}.${attempt}`;
      const known = lives.get(key) ?? { jobId, attempt: Number(attempt), firstMs: Number(at), lastMs: 0 };
      lives.set(key, { ...known, lastMs: Number(at) });
    }
    return [...lives.values()];
  }

  /** Pairs of attempts of one job whose programs were alive at the same time. */
  overlaps(): string[] {
    const lives = this.lives();
    return lives.flatMap((a) =>
      lives
        .filter((b) => b.jobId === a.jobId && b.attempt > a.attempt && b.firstMs < a.lastMs)
        .map((b) => `${a.jobId}: attempt ${a.attempt} until ${a.lastMs}, ${b.attempt} from ${b.firstMs}`),
    );
  }

  async close(): Promise<void> {
    for (const agent of this.agents) {
      agent.process?.kill('SIGCONT');
      await agent.remove();
    }
    for (const child of this.schedulers) child.kill('SIGKILL');
    await this.at.close();
    await this.redis.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null;
}

/** Whether this machine lets us make network namespaces; the reason if not. */
export function whyNoNamespaces(): string | null {
  if (process.platform !== 'linux') return 'network namespaces are of Linux';
  try {
    ip('netns', 'add', 'beamtime-probe');
    ip('netns', 'del', 'beamtime-probe');
    return null;
  } catch (error) {
    return `no network namespace can be made: ${(error as Error).message.split('\n')[0]}`;
  }
}

export function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}
