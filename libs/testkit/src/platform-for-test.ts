import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  AUTHENTICATOR,
  type Authenticator,
  type Config,
  type ContextSchema,
  type Credential,
  createLogger,
  type HttpService,
  loadConfig,
  migrate,
  openDataSource,
  PlatformModule,
  type Principal,
  platformSchema,
  serveHttp,
  Transactor,
} from '@beamtime/platform';
import { InProcessKnocks } from '@beamtime/platform/testing';
import { type DynamicModule, Module, type Type } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { redisForTest } from './redis-for-test.js';
import { freshDatabase } from './test-databases.js';

export interface TestPlatform {
  readonly transactor: Transactor;
  readonly dataSource: DataSource;
  readonly knocks: InProcessKnocks;
  readonly databaseUrl: string;
  close(): Promise<void>;
}

/** A migrated database of the test's own and a Transactor on it, without HTTP or Redis. */
export async function platformForTest(schemas: readonly ContextSchema[]): Promise<TestPlatform> {
  const all = [platformSchema, ...schemas];
  const database = await freshDatabase();
  const dataSource = await openDataSource(database.url, all);
  await migrate(dataSource, all);
  const knocks = new InProcessKnocks(createLogger('test', 'silent'));
  return {
    transactor: new Transactor(dataSource, knocks),
    dataSource,
    knocks,
    databaseUrl: database.url,
    async close() {
      await knocks.close();
      await dataSource.destroy();
      await database.drop();
    },
  };
}

export interface TestService extends HttpService {
  readonly databaseUrl: string;
  readonly config: Config;
  /** A bearer token that stands for this principal, while no real identity is composed. */
  tokenOf(principal: Principal): string;
}

/** Tokens that a test made up for principals; for services under test without the identity context. */
class TestAuthenticator implements Authenticator {
  private readonly principals = new Map<string, Principal>();

  tokenOf(principal: Principal): string {
    const token = `test_${Buffer.from(JSON.stringify(principal)).toString('base64url')}`;
    this.principals.set(token, principal);
    return token;
  }

  authenticate(credential: Credential): Promise<Principal | null> {
    return Promise.resolve(this.principals.get(credential.bearer ?? '') ?? null);
  }
}

/**
 * A service on a free port with its own database, real Redis and real HTTP.
 * @param identity the real identity module; absent, `tokenOf` makes tokens for any principal.
 */
export async function serviceForTest(options: {
  readonly module: Type | DynamicModule;
  readonly schemas: readonly ContextSchema[];
  readonly identity?: Type | DynamicModule;
  readonly settings?: Readonly<Record<string, string>>;
}): Promise<TestService> {
  const database = await freshDatabase();
  const redis = redisForTest();
  const port = await freePort();
  const stateDir = mkdtempSync(join(tmpdir(), 'beamtime-test-'));
  const config = loadConfig({
    DATABASE_URL: database.url,
    REDIS_URL: redis.url,
    BEAMTIME_QUEUE_PREFIX: redis.prefix,
    BEAMTIME_SECRET: 'a secret that is only used in tests',
    BEAMTIME_LOG_LEVEL: process.env['BEAMTIME_LOG_LEVEL'] ?? 'fatal',
    PORT: String(port),
    BEAMTIME_STATE_DIR: stateDir,
    ...options.settings,
  });
  const authenticator = new TestAuthenticator();
  const identity: Type | DynamicModule = options.identity ?? {
    module: class TestIdentityModule {},
    global: true,
    providers: [{ provide: AUTHENTICATOR, useValue: authenticator }],
    exports: [AUTHENTICATOR],
  };
  class TestRootModule {}
  Module({
    imports: [
      PlatformModule.register({ service: 'test', version: '0.0.0', config, schemas: options.schemas }),
      identity,
      options.module,
    ],
  })(TestRootModule);
  const service = await serveHttp(TestRootModule, {
    title: 'test',
    version: '0.0.0',
    host: '127.0.0.1',
    port,
  });
  return {
    ...service,
    databaseUrl: database.url,
    config,
    tokenOf: (principal) => authenticator.tokenOf(principal),
    async close() {
      await service.close();
      await redis.flush();
      await database.drop();
      rmSync(stateDir, { recursive: true, force: true });
    },
  };
}

/** URLs that a service signs carry its address, so its port has to be known before it listens. */
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
