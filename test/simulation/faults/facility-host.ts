import 'reflect-metadata';
import { accessSchema, LedgerModule } from '@beamtime/access';
import { type EndpointSpec, syncAgent } from '@beamtime/contracts';
import {
  type AgentPrincipal,
  CONFIG,
  type ContextSchema,
  createLogger,
  Elections,
  endpointMetadata,
  type KnockListener,
  Knocks,
  LOGGER,
  loadConfig,
  Metrics,
  OBJECT_STORE,
  platformSchema,
  problemDetails,
  Transactor,
} from '@beamtime/platform';
import { InProcessKnocks } from '@beamtime/platform/testing';
import {
  AGENT_KEYS,
  GPU_ACCOUNTS,
  JOB_FILES,
  SchedulingModule,
  schedulingSchema,
} from '@beamtime/scheduling';
import type { INestApplicationContext, Provider } from '@nestjs/common';
import { Global, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Registry } from 'prom-client';
import { DataSource } from 'typeorm';
import { AgentsController } from '../../../apps/scheduler/src/agents.controller.js';
import { schedulingPorts } from '../../../apps/scheduler/src/join-ports.js';
import { calls, type GatedPostgres } from './gated-postgres.js';
import type { Written } from './one-by-one.js';
import type { SimulatedRedis, SimulatedStore } from './surroundings.js';
import type { Host } from './virtual-time.js';

export const simulatedSchemas: readonly ContextSchema[] = [platformSchema, accessSchema, schedulingSchema];

/** Connections of one process. */
const poolSize = 12;
const superseded = 'scheduling.agent-superseded';
const fencing = new Set(['scheduling.attempt-fenced', superseded]);

export interface Answer {
  readonly status: number;
  readonly body: unknown;
  /** An error of the program itself: none of the faults explains it. */
  readonly unexpected?: string;
}
/** One request that is being answered. */
interface Call {
  readonly jobIds: ReadonlySet<string>;
  readonly clusterId: string;
  readonly incarnation: unknown;
  readonly written: Written[];
  /** Another agent spoke of them meanwhile: what was written of them may be its doing. */
  readonly disputed: Set<string>;
}
interface Route {
  readonly spec: EndpointSpec;
  readonly pattern: RegExp;
  readonly handle: (input: object, agent: AgentPrincipal, gone: AbortSignal) => Promise<unknown>;
}

/** Knocks by way of the one simulated Redis, which may be away. */
class KnocksOverRedis extends Knocks {
  private readonly inner = new InProcessKnocks(createLogger('simulation', 'silent'));

  constructor(
    private readonly redis: SimulatedRedis,
    private readonly host: Host,
  ) {
    super();
    redis.connect(host, (name) => this.inner.knock(name));
  }

  knock(name: string): void {
    this.redis.publish(name);
  }
  listen(name: string, everyMs: number, handler: () => Promise<void>): KnockListener {
    this.redis.subscribe(this.host, name);
    return this.inner.listen(name, everyMs, handler);
  }
  close(): Promise<void> {
    return this.inner.close();
  }
}

/**
 * One process of the scheduler service as apps/scheduler composes it: its controllers for agents, all use cases, the
 * election and the leader's loop, the ledger. Only Redis, the object store and HTTP are simulated.
 */
export class FacilityHost {
  private readonly open = new Set<Call>();

  private constructor(
    readonly host: Host,
    readonly app: INestApplicationContext,
    private readonly dataSource: DataSource,
    private readonly routes: readonly Route[],
  ) {}

  static async start(
    host: Host,
    parts: {
      readonly databaseUrl: string;
      readonly leaseTtlMs: number;
      readonly postgres: GatedPostgres;
      readonly redis: SimulatedRedis;
      readonly store: SimulatedStore;
    },
  ): Promise<FacilityHost> {
    const dataSource = new DataSource({
      type: 'postgres',
      url: parts.databaseUrl,
      entities: simulatedSchemas.flatMap((schema) => [...schema.entities]),
      poolSize,
      applicationName: host.name,
      extra: { idleTimeoutMillis: 0 },
    });
    await dataSource.initialize();
    parts.postgres.guard(dataSource, host);
    await openAll(dataSource);
    const config = loadConfig({
      DATABASE_URL: parts.databaseUrl,
      REDIS_URL: 'redis://simulated',
      BEAMTIME_SECRET: 'a secret that is only used in tests',
      BEAMTIME_LOG_LEVEL: 'silent',
      BEAMTIME_LEASE_TTL_MS: String(parts.leaseTtlMs),
    });
    const app = await host.run(() =>
      NestFactory.createApplicationContext(composed(dataSource, config, parts, host), {
        logger: false,
        abortOnError: false,
      }),
    );
    return new FacilityHost(host, app, dataSource, routesOf(app.get(AgentsController)));
  }

  /** Answers one request as HTTP would. */
  async answer(
    method: string,
    path: string,
    body: unknown,
    agent: AgentPrincipal,
    gone: AbortSignal,
  ): Promise<Answer> {
    for (const { spec, pattern, handle } of this.routes) {
      const match = spec.method === method ? pattern.exec(path) : null;
      if (match === null) continue;
      const call = this.begin(agent, path, body);
      try {
        const input = {
          params: spec.params?.parse({ ...match.groups }) ?? {},
          query: {},
          body: spec.body?.parse(body),
        };
        return { status: spec.status ?? 200, body: await calls.run(call, () => handle(input, agent, gone)) };
      } catch (error) {
        // A sync renews while it may, and then waits: it may hear later that another process has taken over.
        return failed(error, spec === syncAgent ? undefined : call);
      } finally {
        this.open.delete(call);
      }
    }
    return { status: 404, body: {}, unexpected: `no route for ${method} ${path}` };
  }

  private begin({ clusterId }: AgentPrincipal, path: string, body: unknown): Call {
    const text = `${path} ${JSON.stringify(body)}`;
    const call: Call = {
      jobIds: new Set(text.match(/job_[0-9a-z]+/g) ?? []),
      clusterId,
      incarnation: (body as { incarnation?: unknown } | undefined)?.incarnation,
      written: [],
      disputed: new Set(),
    };
    for (const other of this.open) {
      if (other.clusterId === call.clusterId && other.incarnation === call.incarnation) continue;
      for (const jobId of call.jobIds) {
        if (!other.jobIds.has(jobId)) continue;
        call.disputed.add(jobId);
        other.disputed.add(jobId);
      }
    }
    this.open.add(call);
    return call;
  }

  async close(): Promise<void> {
    await this.dataSource.destroy().catch(() => undefined);
  }
}

/**
 * What a refused request has written all the same, the first of it. Agents' requests that come together share a
 * transaction, so it must be of the jobs of which it spoke. What an agent said of many jobs may go one by one, and it
 * may be replaced on the way: what was written before, by a transaction that was told it is the present one, was right.
 */
function wrongfullyWritten(call: Call, code: string): string | undefined {
  const own = [...call.jobIds].filter((id) => !call.disputed.has(id));
  const wrong = call.written.find(({ values, seen }) => {
    const wasPresent = code === superseded && seen.get(call.clusterId) === call.incarnation;
    return !wasPresent && own.some((id) => values.includes(id));
  });
  return wrong?.values;
}

function failed(error: unknown, call: Call | undefined): Answer {
  const body = problemDetails(error);
  const wrong = call !== undefined && fencing.has(body.code) ? wrongfullyWritten(call, body.code) : undefined;
  if (wrong !== undefined) {
    const unexpected = `${body.code}, and yet something was committed: ${wrong.slice(0, 500)}`;
    return { status: body.status, body, unexpected };
  }
  if (body.code !== 'server.internal') return { status: body.status, body };
  return { status: body.status, body, unexpected: (error as Error).stack ?? String(error) };
}

function routesOf(controller: AgentsController): Route[] {
  const proto = Object.getPrototypeOf(controller) as Record<string, unknown>;
  return Object.getOwnPropertyNames(proto).flatMap((name) => {
    const method = proto[name];
    if (typeof method !== 'function') return [];
    const spec = Reflect.getMetadata(endpointMetadata, method) as EndpointSpec | undefined;
    if (spec === undefined) return [];
    const pattern = new RegExp(`^${spec.path.replace(/:([A-Za-z]+)/g, '(?<$1>[^/]+)')}$`);
    return [{ spec, pattern, handle: method.bind(controller) as Route['handle'] }];
  });
}

/** All connections are open before the first request, so that none is waited for in real time. */
async function openAll(dataSource: DataSource): Promise<void> {
  const runners = Array.from({ length: poolSize }, () => dataSource.createQueryRunner());
  for (const runner of runners) await runner.connect();
  for (const runner of runners) await runner.release();
}

function composed(
  dataSource: DataSource,
  config: ReturnType<typeof loadConfig>,
  parts: { readonly redis: SimulatedRedis; readonly store: SimulatedStore },
  host: Host,
) {
  const ports: Provider[] = [
    schedulingPorts.find((port) => (port as { provide?: unknown }).provide === GPU_ACCOUNTS) as Provider,
    { provide: AGENT_KEYS, useValue: {} },
    { provide: JOB_FILES, useValue: parts.store },
  ];
  const platform: Provider[] = [
    { provide: CONFIG, useValue: config },
    { provide: LOGGER, useValue: createLogger('simulation', 'silent') },
    { provide: DataSource, useValue: dataSource },
    { provide: Knocks, useValue: new KnocksOverRedis(parts.redis, host) },
    { provide: Metrics, useValue: { registry: new Registry() } },
    { provide: OBJECT_STORE, useValue: {} },
    Transactor,
    Elections,
  ];
  class SimulatedPlatform {}
  Global()(SimulatedPlatform);
  Module({ providers: platform, exports: platform.map((p) => (typeof p === 'function' ? p : p.provide)) })(
    SimulatedPlatform,
  );
  class SimulatedScheduler {}
  Module({
    imports: [
      SimulatedPlatform,
      SchedulingModule.register({ ports, schedules: true, imports: [LedgerModule] }),
    ],
    providers: [AgentsController],
  })(SimulatedScheduler);
  return SimulatedScheduler;
}
