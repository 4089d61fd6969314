import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startEmbeddedPostgres } from '@beamtime/platform';
import { z } from 'zod';
import {
  allKinds,
  everyNth,
  faultKinds,
  possibleFaults,
  runWithOne,
  smallWorld,
  TriedFaults,
} from './every-step.js';
import { ResultsFile } from './results-file.js';
import type { EpisodeOptions, EpisodeResult } from './run-episode.js';
import { EpisodeDatabases, episodeOptions } from './run-episodes.js';
import { type Counterexample, shrink } from './shrink.js';
import { installVirtualTime } from './virtual-time.js';

const usage = `npm run simulate:faults -- [--seeds A..B] [--jobs N] [--attempts N] [--results FILE]
npm run simulate:faults -- --every-step [--kind KIND,…] [--stride N] [--part K/N] [--results FILE]
npm run simulate:faults -- --twice SEED [--jobs N]
npm run simulate:faults -- --replay counterexample.json

Runs the real scheduler, ledger and agents against PostgreSQL under a simulated clock, one world for each seed, with
faults drawn from it, and checks that no job was lost, none committed twice and no GPU-second charged twice.
--attempts ends the run once so many have been made. --results keeps each world's figures in a file, and leaves out
the seeds that it has already: so a long run can be done in pieces. --every-step takes one small world and runs it once
for each fault that could strike it: at each statement, message, knock and deed of an agent, one fault alone. --kind
takes only some (${allKinds.join(', ')}), --stride each N-th of a sort, --part the K-th of N shares of them, for so many
processes: a run mostly waits. --twice shows that a replay is exact.
A violation is made smaller and printed as a counterexample to keep. Exit code 1: violated; 2: bad input.`;

const whole = (least: number, most: number) => z.coerce.number().int().min(least).max(most);
const seed = whole(0, 2 ** 31);
const wishes = z.object({
  seeds: z
    .string()
    .regex(/^\d+\.\.\d+$/, 'expected A..B')
    .transform((text) => text.split('..').map(Number) as [number, number])
    .refine(([first, last]) => first <= last && last <= 2 ** 31, 'expected A..B with A ≤ B')
    .default([1, 4]),
  attempts: whole(1, 100_000_000).optional(),
  jobs: whole(1, 5_000).default(600),
  'every-step': z.boolean().default(false),
  kind: z
    .string()
    .transform((text) => text.split(','))
    .pipe(z.array(z.enum(allKinds)).min(1))
    .default([...allKinds]),
  stride: whole(1, 1_000_000).default(1),
  part: z
    .string()
    .regex(/^\d{1,4}\/\d{1,4}$/, 'expected K/N')
    .transform((text) => text.split('/').map(Number) as [number, number])
    .refine(([part, parts]) => part >= 1 && part <= parts, 'expected K/N with K from 1 to N')
    .default([1, 1]),
  results: z.string().min(1).optional(),
  twice: seed.optional(),
  replay: z.string().min(1).optional(),
});
type Wish = z.output<typeof wishes>;

/** @returns 0 when all invariants held, 1 when one was violated, 2 on bad input. */
export async function main(args: string[]): Promise<number> {
  if (args.includes('--help')) {
    console.log(usage);
    return 0;
  }
  const wish = read(args);
  if (typeof wish === 'string') {
    console.error(wish);
    return 2;
  }
  const folder = mkdtempSync(join(tmpdir(), 'beamtime-faults-'));
  chmodSync(folder, 0o755);
  const server = await startEmbeddedPostgres({ dataDir: folder, durable: false, database: 'faults' });
  if (!server.ok) throw new Error(server.error.detail);
  const databases = await EpisodeDatabases.on(server.value.url);
  const uninstall = installVirtualTime();
  try {
    if (wish.replay !== undefined) return await replay(databases, wish.replay);
    if (wish.twice !== undefined) return await twice(databases, episodeOptions(wish.twice, wish.jobs));
    if (wish['every-step']) return await everyStep(databases, wish);
    return await campaign(databases, wish);
  } finally {
    uninstall();
    await databases.close();
    await server.value.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

function read(args: string[]): Wish | string {
  try {
    const names = Object.keys(wishes.shape);
    const options = Object.fromEntries(
      names.map((name) => [
        name,
        { type: name === 'every-step' ? ('boolean' as const) : ('string' as const) },
      ]),
    );
    const parsed = wishes.safeParse(parseArgs({ args, options, strict: true }).values);
    if (parsed.success) return parsed.data;
    return `${parsed.error.issues.map((i) => `--${i.path.join('.')}: ${i.message}`).join('\n')}\n${usage}`;
  } catch (error) {
    return `${(error as Error).message}\n${usage}`;
  }
}

async function campaign(databases: EpisodeDatabases, wish: Wish): Promise<number> {
  const results = new ResultsFile(wish.results);
  const [first, last] = wish.seeds;
  for (let one = first; one <= last && results.attempts < (wish.attempts ?? Infinity); one++) {
    if (results.has(one)) continue;
    const options = episodeOptions(one, wish.jobs);
    const before = process.cpuUsage();
    const result = await databases.run(options);
    const { user, system } = process.cpuUsage(before);
    results.add(one, result, (user + system) / 1e6);
    console.log(
      `seed ${one}: ${result.attempts} attempts, ${result.faults.length} faults, ${result.statements} statements, ` +
        `${result.violations.length} violations, trace ${result.trace.slice(0, 16)}; ${results.attempts} attempts in all`,
    );
    if (result.violations.length > 0) {
      await explain(databases, options, result);
      return 1;
    }
  }
  console.log(JSON.stringify(results.total(), null, 2));
  return 0;
}

async function everyStep(databases: EpisodeDatabases, wish: Wish): Promise<number> {
  const run = databases.run.bind(databases);
  const { undisturbed, faults } = await possibleFaults(run, smallWorld);
  if (undisturbed.violations.length > 0) {
    console.log(`violated without a fault: ${JSON.stringify(undisturbed.violations.slice(0, 10))}`);
    return 1;
  }
  const results = new TriedFaults(undisturbed, wish.results);
  const wanted = faults.filter((name) => wish.kind.some((kind) => faultKinds[kind].test(name)));
  const [part, parts] = wish.part;
  const chosen = everyNth(wanted, wish.stride).filter((_, n) => n % parts === part - 1);
  const left = chosen.filter((name) => !results.has(name));
  console.log(
    `${undisturbed.statements} statements, ${undisturbed.messages} messages; ${faults.length} faults could strike, ` +
      `${chosen.length} are to be tried, ${chosen.length - left.length} have been`,
  );
  for (const [n, fault] of left.entries()) {
    const result = await runWithOne(run, smallWorld, fault);
    results.add(fault, result);
    console.log(
      `${n + 1} of ${left.length}  ${fault}: ${result.attempts} attempts, ${result.virtualSeconds} s, ` +
        `${result.violations.length} violations`,
    );
    for (const violation of result.violations.slice(0, 10)) console.log(JSON.stringify(violation));
  }
  const total = results.total(chosen);
  console.log(JSON.stringify(total, null, 2));
  return total.violated === 0 ? 0 : 1;
}

async function explain(
  databases: EpisodeDatabases,
  options: EpisodeOptions,
  result: EpisodeResult,
): Promise<void> {
  console.log(`\nseed ${options.seed} violates:`);
  for (const violation of result.violations.slice(0, 10)) console.log(JSON.stringify(violation));
  console.log('\nmaking it smaller:');
  const smallest = await shrink((candidate) => databases.run(candidate), options, result, console.log);
  console.log(
    `\nKeep this in test/simulation/faults/counterexamples/:\n${JSON.stringify(smallest, null, 2)}`,
  );
}

async function replay(databases: EpisodeDatabases, file: string): Promise<number> {
  const { options, violates } = JSON.parse(readFileSync(file, 'utf8')) as Counterexample;
  const result = await databases.run(options);
  for (const violation of result.violations) console.log(JSON.stringify(violation));
  console.log(`${violates}: ${result.violations.length} violations now, trace ${result.trace}`);
  return result.violations.length === 0 ? 0 : 1;
}

async function twice(databases: EpisodeDatabases, options: EpisodeOptions): Promise<number> {
  const lines: string[] = [];
  const first = await databases.run(options, { onLine: (line) => lines.push(line) });
  let at = 0;
  let parted: string | undefined;
  const second = await databases.run(options, {
    onLine: (line) => {
      if (lines[at] !== line) parted ??= `event ${at}:\n  first  ${lines[at]}\n  second ${line}`;
      at++;
    },
  });
  console.log(
    `seed ${options.seed}: ${first.attempts} attempts, ${first.statements} statements, ${lines.length} events`,
  );
  console.log(`first  ${first.trace}\nsecond ${second.trace}`);
  if (first.trace === second.trace) return 0;
  console.log(`They part at ${parted ?? `event ${at}, where the second ends`}`);
  return 1;
}
