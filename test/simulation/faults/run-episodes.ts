import pg from 'pg';
import { chance } from './fault-plan.js';
import { type EpisodeOptions, type EpisodeResult, prepareDatabase, runEpisode } from './run-episode.js';
import { installVirtualTime } from './virtual-time.js';

export interface Campaign {
  readonly seed: number;
  /** Episodes are begun until so many attempts have been made. */
  readonly attempts: number;
  /** Episodes at the same time, each in a database of its own. */
  readonly parallel: number;
  readonly jobsPerEpisode: number;
  readonly onEpisode: (options: EpisodeOptions, result: EpisodeResult, total: CampaignTotal) => void;
}

export interface CampaignTotal {
  episodes: number;
  jobs: number;
  attempts: number;
  programs: number;
  messages: number;
  refused: number;
  statements: number;
  faults: number;
  deadlocks: number;
  gpuSecondsUsed: number;
  gpuSecondsPosted: number;
  virtualSeconds: number;
  byState: Record<string, number>;
  recoveryMs: number[];
  violating: { options: EpisodeOptions; result: EpisodeResult }[];
}

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

  async run(options: EpisodeOptions, onLine?: (line: string) => void): Promise<EpisodeResult> {
    const name = `faults_${++this.made}`;
    await this.admin.query(`CREATE DATABASE ${name} TEMPLATE ${template}`);
    try {
      return await runEpisode(this.urlOf(name), options, onLine);
    } finally {
      await this.admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    }
  }

  async close(): Promise<void> {
    await this.admin.query(`DROP DATABASE IF EXISTS ${template} WITH (FORCE)`);
    await this.admin.end();
  }
}

/** The shape of an episode: small enough to be shrunk, and of another load and size each time. */
export function episodeOptions(seed: number, jobs: number): EpisodeOptions {
  const pick = (name: string, least: number, most: number): number =>
    least + Math.floor((most - least + 1) * chance(seed, name));
  const jobsPerSecond = pick('load', 15, 60);
  const labs = pick('labs', 3, 5);
  return {
    seed,
    jobs,
    labs,
    gpusPerLab: Math.ceil((jobsPerSecond * pick('room', 18, 40)) / labs),
    jobsPerSecond,
    intensity: pick('intensity', 1, 4) / 2,
  };
}

/** Runs episodes until so many attempts have been made; a violation ends the campaign. */
export async function runCampaign(databases: EpisodeDatabases, campaign: Campaign): Promise<CampaignTotal> {
  const total = emptyTotal();
  const uninstall = installVirtualTime();
  let next = 0;
  const work = async (): Promise<void> => {
    while (total.attempts < campaign.attempts && total.violating.length === 0) {
      const seed = Math.floor(chance(campaign.seed, `episode/${next++}`) * 2 ** 31);
      const options = episodeOptions(seed, campaign.jobsPerEpisode);
      const result = await databases.run(options);
      add(total, result);
      if (result.violations.length > 0) total.violating.push({ options, result });
      campaign.onEpisode(options, result, total);
    }
  };
  try {
    await Promise.all(Array.from({ length: campaign.parallel }, work));
  } finally {
    uninstall();
  }
  return total;
}

function emptyTotal(): CampaignTotal {
  return {
    episodes: 0,
    jobs: 0,
    attempts: 0,
    programs: 0,
    messages: 0,
    refused: 0,
    statements: 0,
    faults: 0,
    deadlocks: 0,
    gpuSecondsUsed: 0,
    gpuSecondsPosted: 0,
    virtualSeconds: 0,
    byState: {},
    recoveryMs: [],
    violating: [],
  };
}

function add(total: CampaignTotal, result: EpisodeResult): void {
  total.episodes += 1;
  total.jobs += result.jobs;
  total.attempts += result.attempts;
  total.programs += result.programs;
  total.messages += result.messages;
  total.refused += result.refused;
  total.statements += result.statements;
  total.faults += result.faults.length;
  total.deadlocks += result.deadlocks;
  total.gpuSecondsUsed += result.gpuSecondsUsed;
  total.gpuSecondsPosted += result.gpuSecondsPosted;
  total.virtualSeconds += result.virtualSeconds;
  total.recoveryMs.push(...result.recoveryMs);
  for (const [state, attempts] of Object.entries(result.byState))
    total.byState[state] = (total.byState[state] ?? 0) + attempts;
}
