import type { EventEmitter } from 'node:events';
import { DataSource } from 'typeorm';
import { ConfigError, ServerAwayError } from '../config/load-config.js';
import { type ContextSchema, migrationClass } from './context-schema.js';

/** Connections per process: PostgreSQL's default of 100 is shared by all services. */
const poolSize = 12;
/** No statement of ours needs longer; a stuck one must not hold a lock for ever. */
const statementTimeoutMs = 30_000;
/**
 * A process that freezes within a transaction keeps its locks, and with them everybody who wants the same rows. Our
 * transactions wait for nothing but the database, so a pause of this length means that nobody is there.
 */
export const idleInTransactionMs = 15_000;
/** Any process may migrate at its start; they take turns by this advisory lock. */
const migrationLockKey = 4_242_001;

/** Opens the pool. Does not migrate. */
export async function openDataSource(url: string, schemas: readonly ContextSchema[]): Promise<DataSource> {
  const dataSource = new DataSource({
    type: 'postgres',
    url,
    synchronize: false,
    migrationsTableName: 'beamtime_migration',
    migrationsTransactionMode: 'each',
    entities: schemas.flatMap((schema) => [...schema.entities]),
    migrations: schemas.flatMap((schema) => schema.migrations.map(migrationClass)),
    poolSize,
    applicationName: 'beamtime',
    extra: {
      statement_timeout: statementTimeoutMs,
      idle_in_transaction_session_timeout: idleInTransactionMs,
      connectionTimeoutMillis: 10_000,
    },
    logging: false,
  });
  try {
    await dataSource.initialize();
  } catch (error) {
    throw databaseAway(url, error);
  }
  surviveLostConnections(dataSource);
  return dataSource;
}

/**
 * What an operator needs to know when the first connection fails: which server, and what it said; never the password.
 * A server that is still starting is no wrong setting: a supervisor may try again.
 */
function databaseAway(url: string, error: unknown): Error {
  const { host, pathname, username } = new URL(url);
  const { message, code = '' } = error as Error & { code?: string };
  const why = message === '' ? code : message;
  const text = `DATABASE_URL: no connection to PostgreSQL at ${host}${pathname} as ${username || 'the default user'}: ${why}`;
  // Class 28: who may come in; 3D000: no such database.
  return /^(28|3D)/.test(code) ? new ConfigError(text) : new ServerAwayError(text, { cause: error });
}

/**
 * A connection that dies in the instant it is handed out has no listener for its error yet, which would end the
 * process. Its queries fail anyway and tell whoever made them.
 */
function surviveLostConnections(dataSource: DataSource): void {
  const pool = (dataSource.driver as unknown as { master: EventEmitter }).master;
  const known = new WeakSet<EventEmitter>();
  const survive = (client: EventEmitter): void => {
    if (known.has(client)) return;
    known.add(client);
    client.on('error', () => undefined);
  };
  pool.on('connect', survive);
  // TypeORM opened the first one before we could listen.
  pool.on('acquire', survive);
}

/** Creates the contexts' schemas and runs what migrations are missing; safe when several processes start at once. */
export async function migrate(dataSource: DataSource, schemas: readonly ContextSchema[]): Promise<string[]> {
  const runner = dataSource.createQueryRunner();
  await runner.connect();
  try {
    await runner.query('SELECT pg_advisory_lock($1)', [migrationLockKey]);
    for (const { context } of schemas) await runner.query(`CREATE SCHEMA IF NOT EXISTS "${context}"`);
    const done = await dataSource.runMigrations({ transaction: 'each' });
    return done.map((migration) => migration.name);
  } finally {
    await runner.query('SELECT pg_advisory_unlock($1)', [migrationLockKey]);
    await runner.release();
  }
}
