import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import type { EpisodeHooks, EpisodeOptions, EpisodeResult } from './run-episode.js';
import type { Violation } from './world.js';

/**
 * A world so small that each fault can be tried at each of its steps, and yet of all that a job can do: the first one
 * saves its checkpoint and succeeds, the second is cancelled while it runs, the third preempted, and runs again.
 */
export const smallWorld: EpisodeOptions = {
  ...{ seed: 19_495, jobs: 3, labs: 2, gpusPerLab: 4, jobsPerSecond: 4, stepsMost: 6 },
  only: ['job/1/cancelled', 'job/2/preempted'],
};

/**
 * What can go wrong at a step, and the ends of the names by which `FaultPlan` knows it. A step is a statement to PostgreSQL, a
 * message of an agent, a knock of Redis, or what an agent does with a program or on its disk.
 */
export const faultKinds = {
  crash: /^sql\/.*\/(crashed|crashed-after)$/,
  connection: /^sql\/.*\/(killed|killed-after)$/,
  restart: /^sql\/.*\/server-restarted$/,
  frozen: /^sql\/.*\/frozen$/,
  redis: /^redis\//,
  message: /^message\/.*\/(request-lost|answer-lost|repeated|late)$/,
  agent: /^(message|machine)\/.*\/(agent-killed|agent-killed-after)$/,
} as const;
export type FaultKind = keyof typeof faultKinds;
export const allKinds = Object.keys(faultKinds) as readonly FaultKind[];

/** `sql/facility0.1/12/killed` is `sql killed`: of whom and the how-manieth left out. */
export function sortOf(fault: string): string {
  return `${/^[a-z]+/.exec(fault)?.[0]} ${/[a-z-]+$/.exec(fault)?.[0]}`;
}

type Run = (options: EpisodeOptions, hooks?: EpisodeHooks) => Promise<EpisodeResult>;

/** A world without faults but its own, and each fault that could have struck it, in the order in which it could. */
export async function possibleFaults(
  run: Run,
  options: EpisodeOptions,
): Promise<{ readonly undisturbed: EpisodeResult; readonly faults: readonly string[] }> {
  const faults: string[] = [];
  const undisturbed = await run(options, { onPossibleFault: (name) => faults.push(name) });
  const matched = faults.filter((name) => allKinds.some((kind) => faultKinds[kind].test(name)));
  return { undisturbed, faults: matched };
}

/**
 * Of each sort every `stride`-th, the first among them; in an order in which those done so far are as many of each sort
 * and lie spread over all its steps, whenever one stops.
 */
export function everyNth(faults: readonly string[], stride: number): readonly string[] {
  const rounds = [...bySort(faults).values()].flatMap((names) =>
    names
      .filter((_, n) => n % stride === 0)
      .map((name, n) => ({ name, turn: mirrored(n) }))
      .sort((a, b) => a.turn - b.turn)
      .map(({ name }, round) => ({ name, round })),
  );
  return rounds.sort((a, b) => a.round - b.round).map(({ name }) => name);
}

function bySort(faults: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const sorts = new Map<string, string[]>();
  for (const name of faults) sorts.set(sortOf(name), [...(sorts.get(sortOf(name)) ?? []), name]);
  return sorts;
}

/** The bits of a number, mirrored at the point: 0, 1/2, 1/4, 3/4, 1/8 … (van der Corput), of which each beginning lies evenly. */
function mirrored(n: number): number {
  let value = 0;
  for (let rest = n, weight = 0.5; rest > 0; rest = Math.floor(rest / 2), weight /= 2)
    value += (rest % 2) * weight;
  return value;
}

/** Of each sort `count`, as far apart as can be. */
export function someOfEach(faults: readonly string[], count: number): readonly string[] {
  const chosen = [...bySort(faults).values()].flatMap((names) =>
    Array.from({ length: count }, (_, n) => names[Math.floor(((n + 0.5) / count) * names.length)] ?? ''),
  );
  return [...new Set(chosen)];
}

/** The same world with this one fault: until then it is the same to the statement. */
export async function runWithOne(run: Run, options: EpisodeOptions, fault: string): Promise<EpisodeResult> {
  const result = await run({ ...options, only: [...(options.only ?? []), fault] });
  if (!result.faults.includes(fault)) throw new Error(`${fault} did not strike: the world was another one`);
  return result;
}

/** What one fault did to the world. */
interface Tried {
  readonly world: string;
  readonly fault: string;
  readonly attempts: number;
  readonly statements: number;
  readonly virtualSeconds: number;
  readonly violations: readonly Violation[];
}

/**
 * Which faults have been tried in which world, kept as lines of a file if there is to be one. A world is known by its
 * trace without them: what was tried with other code was another world.
 */
export class TriedFaults {
  private readonly tried: Tried[] = [];
  private readonly world: string;

  constructor(
    undisturbed: Pick<EpisodeResult, 'trace'>,
    private readonly path: string | undefined,
  ) {
    this.world = undisturbed.trace;
    if (path === undefined || !existsSync(path)) return;
    for (const line of readFileSync(path, 'utf8').split('\n')) {
      if (line === '') continue;
      const one = JSON.parse(line) as Tried;
      if (one.world === this.world) this.tried.push(one);
    }
  }

  has(fault: string): boolean {
    return this.tried.some((one) => one.fault === fault);
  }

  add(fault: string, { attempts, statements, virtualSeconds, violations }: EpisodeResult): void {
    const one: Tried = { world: this.world, fault, attempts, statements, virtualSeconds, violations };
    this.tried.push(one);
    if (this.path !== undefined) appendFileSync(this.path, `${JSON.stringify(one)}\n`);
  }

  /** Runs and violations of each sort of fault, of those named. */
  total(faults: readonly string[]) {
    const named = new Set(faults);
    const of = this.tried.filter(({ fault }) => named.has(fault));
    const bySort: Record<string, { runs: number; violated: number; longestSeconds: number }> = {};
    for (const { fault, violations, virtualSeconds } of of) {
      bySort[sortOf(fault)] ??= { runs: 0, violated: 0, longestSeconds: 0 };
      const sums = bySort[sortOf(fault)] as { runs: number; violated: number; longestSeconds: number };
      sums.runs++;
      if (violations.length > 0) sums.violated++;
      sums.longestSeconds = Math.max(sums.longestSeconds, virtualSeconds);
    }
    return {
      possible: faults.length,
      runs: of.length,
      violated: of.filter(({ violations }) => violations.length > 0).length,
      attempts: of.reduce((sum, { attempts }) => sum + attempts, 0),
      statements: of.reduce((sum, { statements }) => sum + statements, 0),
      bySort,
    };
  }
}
