import { createHash, randomUUID } from 'node:crypto';
import {
  type ApiClient,
  type AttemptRef,
  acceptAttempt,
  type ClusterInventory,
  type ClusterPolicy,
  createApiClient,
  type JobView,
  jobKindsByDefault,
  ProblemError,
  registerAgent,
  registerCluster,
  reportAttempt,
  type SyncAnswer,
  showCluster,
  showJob,
  submitJob,
  syncAgent,
} from '@beamtime/contracts';
import { IdentityModule } from '@beamtime/identity';
import { seedLab, seedPerson } from '@beamtime/identity/testing';
import type { LabId } from '@beamtime/kernel';
import { type PersonPrincipal, Transactor } from '@beamtime/platform';
import { serviceForTest, type TestService } from '@beamtime/testkit';
import type { DynamicModule, Type } from '@nestjs/common';
import { schedulerSchemas, schedulerServiceModule } from './index.js';

/** Short, so that a lease that runs out costs a test little. */
export const testLeaseMs = 2_000;

export interface SchedulingForTest {
  readonly service: TestService;
  readonly transactor: Transactor;
  readonly labId: LabId;
  readonly operator: ApiClient;
  readonly secretariat: ApiClient;
  readonly researcher: ApiClient;
  readonly researcherToken: string;
  /** A researcher of another lab, made when first asked for. */
  stranger(): Promise<ApiClient>;
  readonly principal: PersonPrincipal;
  cluster(name: string, more?: Partial<ClusterInventory>): Promise<SimulatedAgent>;
  submit(more?: Partial<Parameters<typeof jobBody>[1]>): Promise<JobView>;
  job(
    jobId: string,
  ): Promise<JobView & { history: { attempt: number; gpus: number; state: string; gpuSeconds: number }[] }>;
  close(): Promise<void>;
}

/** The scheduler service over real HTTP, PostgreSQL and Redis, with real identities and simulated agents. */
export async function schedulingForTest(
  settings: Readonly<Record<string, string>> = {},
  module: Type | DynamicModule = schedulerServiceModule,
): Promise<SchedulingForTest> {
  const service = await serviceForTest({
    module,
    schemas: schedulerSchemas,
    identity: IdentityModule,
    settings: { BEAMTIME_LEASE_TTL_MS: String(testLeaseMs), ...settings },
  });
  const transactor = service.app.get(Transactor);
  const { labId, operator, secretariat, researcher } = await transactor.do(async (tx) => {
    const labId = await seedLab(tx, `lab-${randomUUID().slice(0, 8)}`);
    return {
      labId,
      operator: await seedPerson(tx, `operator-${labId}@lab.example`, [{ labId, role: 'operator' }]),
      secretariat: await seedPerson(tx, `secretariat-${labId}@lab.example`, [
        { labId: null, role: 'secretariat' },
      ]),
      researcher: await seedPerson(tx, `researcher-${labId}@lab.example`, [{ labId, role: 'researcher' }]),
    };
  });
  const client = createApiClient(service.url);
  const operatorClient = client.as(operator.token);
  const researcherClient = client.as(researcher.token);
  let strange: Promise<ApiClient> | undefined;
  return {
    service,
    transactor,
    labId,
    operator: operatorClient,
    secretariat: client.as(secretariat.token),
    researcher: researcherClient,
    researcherToken: researcher.token,
    stranger() {
      strange ??= transactor.do(async (tx) => {
        const labId = await seedLab(tx, `lab-${randomUUID().slice(0, 8)}`);
        const email = `stranger-${labId}@lab.example`;
        return client.as((await seedPerson(tx, email, [{ labId, role: 'researcher' }])).token);
      });
      return strange;
    },
    principal: researcher.principal,
    async cluster(name, more = {}) {
      const registered = await operatorClient.call(registerCluster, {
        body: { labId, name: `${name}-${randomUUID().slice(0, 8)}` },
      });
      return new SimulatedAgent(client.as(registered.agentKey), registered.cluster.clusterId, more);
    },
    submit: (more = {}) => researcherClient.call(submitJob, { body: jobBody(labId, more) }),
    job: (jobId) => researcherClient.call(showJob, { params: { jobId } }),
    close: () => service.close(),
  };
}

export const trainTemplate = {
  kind: 'train',
  model: { family: 'gpt-neox', hiddenSize: 16, layers: 1, heads: 2, contextTokens: 16 },
  tokenizer: { kind: 'byte' },
  data: { corpora: [{ id: 'eng', path: 'corpora/eng.txt', language: 'eng', script: 'Latn' }] },
  seeds: { initialisation: 1, dataOrder: 1 },
  training: { steps: 10, batchSequences: 2, learningRate: 0.001 },
};

export const evaluateTemplate = {
  kind: 'evaluate',
  revisions: [{ revision: 'step1', path: 'revisions/step1' }],
  tasks: [{ task: 'headScores' }],
};

export function jobBody(
  labId: LabId,
  more: {
    gpus?: number;
    gpusMin?: number;
    maxSeconds?: number;
    requestKey?: string;
    attemptLimit?: number;
    priority?: number;
    gpuType?: string;
    after?: string[];
    deadline?: string;
    gpuShareMilli?: number;
    runner?: Record<string, unknown>;
  } = {},
) {
  const { gpus = 1, gpusMin, maxSeconds = 600, gpuType, gpuShareMilli, ...rest } = more;
  return {
    labId,
    runner: trainTemplate,
    resources: {
      ...{ gpus, maxSeconds },
      ...(gpusMin === undefined ? {} : { gpusMin }),
      ...(gpuType === undefined ? {} : { gpuType }),
      ...(gpuShareMilli === undefined ? {} : { gpuShareMilli }),
    },
    ...rest,
  };
}

const inventory: ClusterInventory = {
  gpus: 2,
  gpuType: 'cpu',
  gpuMemoryMiB: null,
  executor: 'local',
  hostName: 'test',
  cpus: 2,
  memoryMiB: 1_000,
};
const policy: ClusterPolicy = {
  kinds: [...jobKindsByDefault],
  labIds: null,
  consortium: true,
  gpusPerJobMax: null,
  secondsPerJobMax: null,
  hoursUtc: null,
};

/** Speaks the agent protocol as a test wishes: it may repeat, delay, lose and lie. */
export class SimulatedAgent {
  incarnation = 0;
  instanceId: string = randomUUID();
  draining = false;
  readonly held = new Map<string, AttemptRef>();
  readonly inventory: ClusterInventory;
  /** What it tells with each message. */
  policy: ClusterPolicy = policy;

  constructor(
    readonly client: ApiClient,
    readonly clusterId: string,
    more: Partial<ClusterInventory> = {},
  ) {
    this.inventory = { ...inventory, ...more };
  }

  async register(stopped: AttemptRef[] = []): Promise<this> {
    const answer = await this.client.call(registerAgent, {
      body: {
        instanceId: this.instanceId,
        agentVersion: 'test',
        inventory: this.inventory,
        policy: this.policy,
        stopped,
      },
    });
    this.incarnation = answer.incarnation;
    return this;
  }

  /** The same cluster's next process; this one is superseded. */
  async restart(stopped: AttemptRef[] = []): Promise<SimulatedAgent> {
    const next = new SimulatedAgent(this.client, this.clusterId, this.inventory);
    next.policy = this.policy;
    return next.register(stopped);
  }

  sync(wait = true, cached?: { version: number; inputs: string[] }): Promise<SyncAnswer> {
    return this.client.call(syncAgent, {
      body: {
        incarnation: this.incarnation,
        inventory: this.inventory,
        policy: this.policy,
        draining: this.draining,
        attempts: [...this.held.values()].map((ref) => ({ ...ref, state: 'running' as const })),
        ...(cached === undefined ? {} : { cached }),
        wait,
      },
    });
  }

  /** Syncs until there is an offer for the job, or for any. */
  async offer(jobId?: string, withinMs = 30_000): Promise<AttemptRef> {
    for (const deadlineMs = Date.now() + withinMs; Date.now() < deadlineMs; ) {
      const { offers } = await this.sync();
      const found = offers.find((offer) => jobId === undefined || offer.jobId === jobId);
      if (found !== undefined) return { jobId: found.jobId, attempt: found.attempt };
    }
    throw new Error(`no offer within ${withinMs} ms`);
  }

  async accept(ref: AttemptRef) {
    const assignment = await this.client.call(acceptAttempt, {
      params: ref,
      body: { incarnation: this.incarnation },
    });
    this.held.set(`${ref.jobId}/${ref.attempt}`, ref);
    return assignment;
  }

  async report(
    ref: AttemptRef,
    state: 'staging' | 'running' | 'finalizing' | 'succeeded' | 'failed' | 'cancelled' | 'preempted',
    more: { reason?: string; exitCode?: number; retriable?: boolean } = {},
  ): Promise<void> {
    await this.client.call(reportAttempt, {
      params: ref,
      body: { incarnation: this.incarnation, state, ...more },
    });
    if (['succeeded', 'failed', 'cancelled', 'preempted'].includes(state))
      this.held.delete(`${ref.jobId}/${ref.attempt}`);
  }

  /** Takes the next offer and says that it runs. */
  async begin(jobId?: string) {
    const ref = await this.offer(jobId);
    const assignment = await this.accept(ref);
    await this.report(ref, 'running');
    return { ref, assignment };
  }
}

export const sha256Of = (text: string): string => createHash('sha256').update(text).digest('hex');

/** A cluster whose GPUs are of a type of their own, so that only the jobs that ask for it go there. */
export async function clusterOfItsOwn(
  at: SchedulingForTest,
  name: string,
  gpus: number,
  policy: Partial<ClusterPolicy> = {},
): Promise<{ agent: SimulatedAgent; gpuType: string }> {
  const gpuType = `of-${randomUUID().slice(0, 8)}`;
  const agent = await at.cluster(name, { gpus, gpuType });
  agent.policy = { ...agent.policy, ...policy };
  return { agent: await agent.register(), gpuType };
}

/** Waits until the agent of a cluster has registered. */
export async function untilActive(at: SchedulingForTest, clusterId: string): Promise<void> {
  for (const deadlineMs = Date.now() + 30_000; Date.now() < deadlineMs; ) {
    const { state } = await at.operator.call(showCluster, { params: { clusterId } });
    if (state === 'active') return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`the agent of ${clusterId} has not registered`);
}

/** The code with which a call was refused. */
export async function refusal(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    if (error instanceof ProblemError) return error.problem.code;
    throw error;
  }
  return 'not refused';
}
