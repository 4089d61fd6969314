import pg from 'pg';
import { chance } from './fault-plan.js';
import {
  type EpisodeHooks,
  type EpisodeOptions,
  type EpisodeResult,
  prepareDatabase,
  runEpisode,
} from './run-episode.js';

const template = 'faults_template';

/** Databases for episodes, copied from one that was migrated once. */
export class EpisodeDatabases {
  private made = 0;

  private constructor(
    private readonly admin: pg.Client,
    private readonly serverUrl: string,
  ) {}

  static async on(serverUrl: string): Promise<EpisodeDatabases> {
    const admin = new pg.Client({ connectionString: serverUrl });
    admin.on('error', () => undefined);
    await admin.connect();
    await admin.query(`DROP DATABASE IF EXISTS ${template}`);
    await admin.query(`CREATE DATABASE ${template}`);
    const databases = new EpisodeDatabases(admin, serverUrl);
    await prepareDatabase(databases.urlOf(template));
    return databases;
  }

  private urlOf(name: string): string {
    const url = new URL(this.serverUrl);
    url.pathname = `/${name}`;
    return url.href;
  }

  async run(options: EpisodeOptions, hooks?: EpisodeHooks): Promise<EpisodeResult> {
    const name = `faults_${++this.made}`;
    await this.admin.query(`CREATE DATABASE ${name} TEMPLATE ${template}`);
    try {
      return await runEpisode(this.urlOf(name), options, hooks);
    } finally {
      await this.admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    }
  }

  async close(): Promise<void> {
    await this.admin.query(`DROP DATABASE IF EXISTS ${template} WITH (FORCE)`);
    await this.admin.end();
  }
}

/** The shape of the world of a seed: of another load, size and misfortune each time. */
export function episodeOptions(seed: number, jobs: number): EpisodeOptions {
  const pick = (name: string, least: number, most: number): number =>
    least + Math.floor((most - least + 1) * chance(seed, name));
  const jobsPerSecond = pick('load', 40, 120);
  const labs = pick('labs', 3, 7);
  const stepsMost = pick('steps', 8, 40);
  // Of each job: some 1.6 GPUs for a quarter of the longest program, and what waiting for lost leases takes.
  const gpus = jobsPerSecond * 1.6 * (3 + stepsMost / 4) * (pick('room', 10, 30) / 10);
  return {
    seed,
    jobs,
    labs,
    gpusPerLab: Math.max(8, Math.ceil(gpus / labs)),
    jobsPerSecond,
    stepsMost,
    intensity: pick('intensity', 2, 6) / 2,
  };
}
