import pg from 'pg';

/**
 * The clock of the simulated database. The functions lie in a schema that is searched before pg_catalog, so every
 * unqualified now() in our SQL, also in column defaults, means these. `sim.started` is set by each BEGIN; the
 * sequence holds the present, because its value is seen at once by everybody.
 */
const clockSql = `
  CREATE SCHEMA sim;
  CREATE SEQUENCE sim.ticks MINVALUE 0;
  CREATE FUNCTION sim.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql AS
    'SELECT pg_catalog.to_timestamp((SELECT last_value FROM sim.ticks) / 1000.0)';
  CREATE FUNCTION sim.now() RETURNS timestamptz STABLE LANGUAGE sql AS
    $f$ SELECT pg_catalog.to_timestamp(coalesce(nullif(pg_catalog.current_setting('sim.started', true), '')::bigint,
      (SELECT last_value FROM sim.ticks)) / 1000.0) $f$;`;

/** Statements whose meaning depends on the clock. */
export const usesClock = /clock_timestamp|now\(\)|ledger_/;

/**
 * What PostgreSQL would do by real time, and therefore at another place in each replay: it looks for deadlocks, tidies
 * tables up, collects statistics that change plans, compiles. The gate finds the deadlocks.
 */
const settings: Readonly<Record<string, string>> = {
  search_path: 'sim, pg_catalog, public',
  deadlock_timeout: "'1h'",
  synchronous_commit: 'off',
  jit: 'off',
  max_parallel_workers_per_gather: '0',
};

/** Makes the clock and all that keeps a database to it; before the tables, whose defaults are bound to it. */
export async function installDatabaseClock(databaseUrl: string): Promise<void> {
  await withClient(databaseUrl, async (client) => {
    await client.query(clockSql);
    await keepToTheClock(client);
  });
}

/** After the tables are made: nothing touches them but statements. */
export async function stopVacuum(databaseUrl: string): Promise<void> {
  await withClient(databaseUrl, async (client) => {
    await client.query(`DO $$ DECLARE t regclass; BEGIN
      FOR t IN SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema') LOOP
        EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = false)', t);
      END LOOP; END $$`);
  });
}

/** The settings are the database's, and a copy of a database does not have them. */
export async function keepToTheClock(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ name: string }>('SELECT current_database() AS name');
  const name = pg.escapeIdentifier(rows[0]?.name ?? '');
  for (const [setting, value] of Object.entries(settings))
    await client.query(`ALTER DATABASE ${name} SET ${setting} = ${value}`);
}

async function withClient(url: string, work: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}
