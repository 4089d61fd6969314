import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startEmbeddedPostgres } from '@beamtime/platform';
import pg from 'pg';
import { prepareDatabase, runEpisode } from './run-episode.js';

export async function main(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      seed: { type: 'string', default: '1' },
      jobs: { type: 'string', default: '300' },
      width: { type: 'string', default: '1' },
      rate: { type: 'string', default: '20' },
      gpus: { type: 'string', default: '48' },
    },
  });
  const folder = mkdtempSync(join(tmpdir(), 'beamtime-faults-'));
  chmodSync(folder, 0o755);
  const server = await startEmbeddedPostgres({ dataDir: folder, durable: false, database: 'template' });
  if (!server.ok) throw new Error(server.error.detail);
  try {
    await prepareDatabase(server.value.url);
    const admin = new pg.Client({ connectionString: server.value.url.replace('/template', '/postgres') });
    await admin.connect();
    await admin.query('CREATE DATABASE one TEMPLATE template');
    const t = Date.now();
    const result = await runEpisode(server.value.url.replace('/template', '/one'), {
      seed: Number(values.seed),
      jobs: Number(values.jobs),
      labs: 6,
      gpusPerLab: Number(values.gpus),
      jobsPerSecond: Number(values.rate),
      width: Number(values.width),
    });
    console.log(
      JSON.stringify(
        { ...result, faults: result.faults.length, recoveryMs: result.recoveryMs.length },
        null,
        1,
      ),
      Date.now() - t,
      'ms',
    );
    await admin.end();
    return result.violations.length;
  } finally {
    await server.value.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}
