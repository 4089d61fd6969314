import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { providedServers } from './provided.js';

/** A database of one test file's own. */
export interface TestDatabase {
  readonly url: string;
  readonly name: string;
  drop(): Promise<void>;
}

/** A database that others are copied from, so that migrations run once per test run and not once per file. */
export interface DatabaseTemplate {
  readonly name: string;
}

const prefix = 'beamtime_test_';
/** A run that was killed leaves its things behind; no run takes this long, so they may go. */
export const forgottenAfterMs = 6 * 60 * 60 * 1000;

/** Sortable and readable back: when the run began, and something that no other run has. */
export function newRunId(nowMs: number, random: string): string {
  return `${Math.floor(nowMs / 1000).toString(36)}_${random}`;
}

/** An empty database, or a copy of the template, under a name that no other test has. */
export async function freshDatabase(options: { from?: DatabaseTemplate } = {}): Promise<TestDatabase> {
  const { databaseUrl, runId } = providedServers();
  const name = `${prefix}${runId}_${randomBytes(5).toString('hex')}`;
  const template = options.from ? ` TEMPLATE ${pg.escapeIdentifier(options.from.name)}` : '';
  await withClient(databaseUrl, (client) =>
    client.query(`CREATE DATABASE ${pg.escapeIdentifier(name)}${template}`),
  );
  return {
    name,
    url: withDatabase(databaseUrl, name),
    drop: () => withClient(databaseUrl, (client) => dropDatabase(client, name)),
  };
}

/**
 * The database that `migrate` makes, for `freshDatabase({ from })`. The first test file of a run that asks for
 * `name` makes it while the others wait; a `migrate` that fails leaves nothing behind, so the next one tries anew.
 */
export async function createTemplate(
  migrate: (url: string) => Promise<void>,
  name = 'migrated',
): Promise<DatabaseTemplate> {
  const { databaseUrl, runId } = providedServers();
  const template = `${prefix}${runId}_template_${name}`;
  await withClient(databaseUrl, async (client) => {
    // Held by this connection until it ends, even if this process is killed.
    await client.query('SELECT pg_advisory_lock(hashtext($1))', [template]);
    const found = await client.query<{ datistemplate: boolean }>(
      'SELECT datistemplate FROM pg_database WHERE datname = $1',
      [template],
    );
    if (found.rows[0]?.datistemplate) return;
    await dropDatabase(client, template);
    await client.query(`CREATE DATABASE ${pg.escapeIdentifier(template)}`);
    try {
      await migrate(withDatabase(databaseUrl, template));
    } catch (error) {
      await dropDatabase(client, template);
      throw error;
    }
    // Whoever still holds a connection to it would keep it from being copied.
    await client.query(
      `ALTER DATABASE ${pg.escapeIdentifier(template)} WITH IS_TEMPLATE true ALLOW_CONNECTIONS false`,
    );
    await client.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', [
      template,
    ]);
  });
  return { name: template };
}

/** Drops what one test run made. */
export async function dropDatabasesOf(databaseUrl: string, runId: string): Promise<void> {
  await dropWhere(databaseUrl, (name) => name.startsWith(`${prefix}${runId}_`));
}

/** Drops what runs made that were killed before they could clean up. */
export async function dropForgottenDatabases(databaseUrl: string, nowMs: number): Promise<void> {
  await dropWhere(databaseUrl, (name) => {
    const startedMs = Number.parseInt(name.slice(prefix.length).split('_')[0] ?? '', 36) * 1000;
    return nowMs - startedMs > forgottenAfterMs;
  });
}

async function dropWhere(databaseUrl: string, chosen: (name: string) => boolean): Promise<void> {
  await withClient(databaseUrl, async (client) => {
    const found = await client.query<{ datname: string }>(
      'SELECT datname FROM pg_database WHERE starts_with(datname, $1)',
      [prefix],
    );
    for (const { datname } of found.rows) if (chosen(datname)) await dropDatabase(client, datname);
  });
}

async function dropDatabase(client: pg.Client, name: string): Promise<void> {
  const quoted = pg.escapeIdentifier(name);
  const found = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [name]);
  if (found.rowCount === 0) return;
  await client.query(`ALTER DATABASE ${quoted} WITH IS_TEMPLATE false`);
  await client.query(`DROP DATABASE IF EXISTS ${quoted} WITH (FORCE)`);
}

function withDatabase(url: string, name: string): string {
  const changed = new URL(url);
  changed.pathname = `/${name}`;
  return changed.href;
}

async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}
