import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startEmbeddedPostgres } from '@beamtime/platform';
import { z } from 'zod';
import type { EpisodeOptions } from './run-episode.js';
import { type CampaignTotal, EpisodeDatabases, runCampaign } from './run-episodes.js';
import { shrink } from './shrink.js';
import { installVirtualTime } from './virtual-time.js';

const usage = `npm run simulate:faults -- [--seed N] [--attempts N] [--parallel N] [--jobs N]
npm run simulate:faults -- --replay counterexample.json

Runs the real scheduler, ledger and agents against PostgreSQL under a simulated clock, with faults drawn from the seed,
until so many attempts have been made, and checks that none was lost, doubled or charged twice.`;

const whole = (least: number, most: number) => z.coerce.number().int().min(least).max(most);
const wishes = z.object({
  seed: whole(0, 2 ** 31).default(1),
  attempts: whole(1, 100_000_000).default(2_000),
  parallel: whole(1, 8).default(4),
  jobs: whole(1, 5_000).default(400),
  replay: z.string().optional(),
});
const names = ['seed', 'attempts', 'parallel', 'jobs', 'replay'] as const;

/** @returns 0 when all invariants held, 1 when one was violated, 2 on bad input. */
export async function main(args: string[]): Promise<number> {
  const wish = read(args);
  if (typeof wish === 'string') {
    console.error(wish);
    return 2;
  }
  const folder = mkdtempSync(join(tmpdir(), 'beamtime-faults-'));
  chmodSync(folder, 0o755);
  const server = await startEmbeddedPostgres({ dataDir: folder, durable: false, database: 'faults' });
  if (!server.ok) throw new Error(server.error.detail);
  try {
    const databases = await EpisodeDatabases.on(server.value.url);
    return wish.replay === undefined ? await campaign(databases, wish) : await replay(databases, wish.replay);
  } finally {
    await server.value.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

function read(args: string[]): z.output<typeof wishes> | string {
  try {
    const options = Object.fromEntries(names.map((name) => [name, { type: 'string' as const }]));
    const parsed = wishes.safeParse(parseArgs({ args, options, strict: true }).values);
    if (parsed.success) return parsed.data;
    return `${parsed.error.issues.map((i) => `--${i.path.join('.')}: ${i.message}`).join('\n')}\n${usage}`;
  } catch (error) {
    return `${(error as Error).message}\n${usage}`;
  }
}

async function campaign(databases: EpisodeDatabases, wish: z.output<typeof wishes>): Promise<number> {
  const startedMs = performance.now();
  const total = await runCampaign(databases, {
    ...wish,
    jobsPerEpisode: wish.jobs,
    onEpisode: (options, result, sum) => {
      const seconds = (performance.now() - startedMs) / 1_000;
      console.log(
        `episode ${sum.episodes}: seed ${options.seed}, ${result.attempts} attempts, ${result.faults.length} faults, ` +
          `${result.violations.length} violations; ${sum.attempts} of ${wish.attempts} attempts after ${seconds.toFixed(0)} s`,
      );
    },
  });
  console.log(report(total));
  const [first] = total.violating;
  if (first === undefined) return 0;
  console.log(`\nseed ${first.options.seed} violates:`);
  for (const violation of first.result.violations.slice(0, 10)) console.log(JSON.stringify(violation));
  console.log('\nmaking it smaller:');
  const uninstall = installVirtualTime();
  const run = (options: EpisodeOptions) => databases.run(options);
  const smallest = await shrink(run, first.options, first.result, console.log).finally(uninstall);
  console.log(
    `\nKeep this in test/simulation/faults/counterexamples/:\n${JSON.stringify(smallest, null, 2)}`,
  );
  return 1;
}

async function replay(databases: EpisodeDatabases, file: string): Promise<number> {
  const { options, violates } = JSON.parse(readFileSync(file, 'utf8')) as {
    options: EpisodeOptions;
    violates: string;
  };
  const uninstall = installVirtualTime();
  const result = await databases.run(options).finally(uninstall);
  for (const violation of result.violations) console.log(JSON.stringify(violation));
  console.log(`${violates}: ${result.violations.length} violations now`);
  return result.violations.length === 0 ? 0 : 1;
}

function report(total: CampaignTotal): string {
  const { recoveryMs, violating, ...sums } = total;
  const sorted = [...recoveryMs].sort((a, b) => a - b);
  const recovery = { lost: sorted.length, p50Ms: sorted[sorted.length >> 1], maxMs: sorted.at(-1) };
  return JSON.stringify(
    { ...sums, recovery, violations: violating.flatMap(({ result }) => result.violations).length },
    null,
    2,
  );
}
