import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import {
  type Config,
  ConfigError,
  type EmbeddedServer,
  type HttpService,
  loadConfig,
  serveHttp,
  startEmbeddedPostgres,
  startEmbeddedRedis,
} from '@beamtime/platform';
import { facilityModule, facilityVersion } from './facility.module.js';
import { mountStatusPage } from './mount-status-page.js';

export interface Facility {
  readonly url: string;
  readonly stateDir: string;
  readonly config: Config;
  readonly http: HttpService;
  /** What replaced the embedded servers, or where they are; without passwords. */
  readonly parts: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** The port that documents name; taken only if it is free and nothing else was asked for. */
const usualPort = 8_420;

/**
 * Starts everything of one facility in this process, with PostgreSQL and Redis of its own unless DATABASE_URL and
 * REDIS_URL point elsewhere. Everything it keeps lies in the state folder.
 */
export async function startFacility(given: Environment, say: (line: string) => void): Promise<Facility> {
  // Set to nothing means not set, as in every compose file that passes variables on.
  const env = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== ''));
  const stateDir = resolve(env['BEAMTIME_STATE_DIR'] ?? '.beamtime');
  makeStateFolder(stateDir);
  const servers: EmbeddedServer[] = [];
  const stopServers = async () => {
    for (const server of servers.reverse()) await server.stop();
  };
  try {
    const databaseUrl = env['DATABASE_URL'] ?? (await embeddedPostgres(stateDir, servers, say));
    const redisUrl = env['REDIS_URL'] ?? (await embeddedRedis(stateDir, servers));
    const host = env['BEAMTIME_HOST'] ?? '127.0.0.1';
    // Settled before the start, 0 too: the public address, which signed URLs carry, holds it.
    const wished = env['PORT'] === undefined ? usualPort : Number(env['PORT']);
    const port = env['PORT'] === undefined || wished === 0 ? await freePort(host, wished) : wished;
    const config = loadConfig({
      ...env,
      DATABASE_URL: databaseUrl,
      REDIS_URL: redisUrl,
      BEAMTIME_STATE_DIR: stateDir,
      BEAMTIME_HOST: host,
      PORT: String(port),
      BEAMTIME_PUBLIC_URL: env['BEAMTIME_PUBLIC_URL'] ?? `http://${host}:${port}`,
      BEAMTIME_SECRET: env['BEAMTIME_SECRET'] ?? keptSecret(join(stateDir, 'secret')),
      // The local login trusts whoever can read the state folder: only for a facility that no other machine reaches.
      BEAMTIME_EMBEDDED: String(isLoopback(host)),
      BEAMTIME_LOCAL_LOGIN:
        env['BEAMTIME_LOCAL_LOGIN'] ?? String(isLoopback(host) && env['OIDC_ISSUER'] === undefined),
    });
    const http = await serveHttp(facilityModule(config), {
      title: 'Beamtime',
      version: facilityVersion,
      host,
      port,
      mount: (app) => {
        mountStatusPage(app);
      },
    });
    const addressFile = join(stateDir, 'facility.json');
    writeWhole(
      addressFile,
      JSON.stringify({ url: http.url, pid: process.pid, startedAt: new Date().toISOString() }),
    );
    return {
      url: http.url,
      stateDir,
      config,
      http,
      parts: {
        PostgreSQL: describe(databaseUrl, env['DATABASE_URL'] !== undefined),
        Redis: describe(redisUrl, env['REDIS_URL'] !== undefined),
        Objects: config.S3_BUCKET === undefined ? join(stateDir, 'objects') : `S3 bucket ${config.S3_BUCKET}`,
        Login: describeLogin(config),
      },
      async stop() {
        rmSync(addressFile, { force: true });
        await http.close();
        await stopServers();
      },
    };
  } catch (error) {
    await stopServers();
    throw error;
  }
}

async function embeddedPostgres(
  stateDir: string,
  servers: EmbeddedServer[],
  say: (line: string) => void,
): Promise<string> {
  const started = await startEmbeddedPostgres({ dataDir: join(stateDir, 'postgres'), say });
  if (!started.ok) throw new ConfigError(`PostgreSQL: ${started.error.detail}`);
  servers.push(started.value);
  return started.value.url;
}

async function embeddedRedis(stateDir: string, servers: EmbeddedServer[]): Promise<string> {
  const started = await startEmbeddedRedis({ dataDir: join(stateDir, 'redis') });
  if (!started.ok) throw new ConfigError(`Redis: ${started.error.detail}`);
  servers.push(started.value);
  return started.value.url;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\./.test(host);
}

function makeStateFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
  } catch (error) {
    throw new ConfigError(`BEAMTIME_STATE_DIR: ${path} cannot be made: ${(error as Error).message}`);
  }
}

function describeLogin(config: Config): string {
  const ways = [
    ...(config.OIDC_ISSUER === undefined ? [] : [`OIDC at ${config.OIDC_ISSUER}`]),
    ...(config.BEAMTIME_LOCAL_LOGIN === true
      ? ['local: `npx beamtime login --local --as you@your-lab.example`']
      : []),
  ];
  if (ways.length > 0) return ways.join(', ');
  return 'none: other machines reach this address, so the local login is off; set OIDC_ISSUER and OIDC_CLIENT_ID';
}

function describe(url: string, given: boolean): string {
  const { host, pathname } = new URL(url);
  return `${host}${pathname === '/' ? '' : pathname}${given ? '' : ' (embedded)'}`;
}

/** A random secret that survives restarts, readable by its owner only. */
function keptSecret(file: string): string {
  if (!existsSync(file)) {
    writeWhole(file, randomBytes(32).toString('base64url'));
    chmodSync(file, 0o600);
  }
  return readFileSync(file, 'utf8').trim();
}

function writeWhole(file: string, text: string): void {
  writeFileSync(`${file}.new`, text, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

/** The wished port if it is free, otherwise any that is. */
function freePort(host: string, wished: number): Promise<number> {
  const tryPort = (port: number) =>
    new Promise<number | undefined>((done) => {
      const server = createServer();
      server.once('error', () => done(undefined));
      server.listen(port, host, () => {
        const address = server.address();
        const taken = typeof address === 'object' && address !== null ? address.port : undefined;
        server.close(() => done(taken));
      });
    });
  return tryPort(wished).then(async (port) => port ?? (await tryPort(0)) ?? wished);
}
