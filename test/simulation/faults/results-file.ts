import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import type { EpisodeResult } from './run-episode.js';

/** One world's figures, as a line of the file. */
interface Line {
  readonly seed: number;
  readonly cpuSeconds: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly violations: number;
  readonly recoveryMs: readonly number[];
  readonly byState: Readonly<Record<string, number>>;
  readonly trace: string;
  readonly figures: Readonly<Record<string, number>>;
}

/** The figures of the worlds so far, kept in a file of JSON lines if there is to be one. */
export class ResultsFile {
  private readonly lines: Line[] = [];

  constructor(private readonly path: string | undefined) {
    if (path === undefined || !existsSync(path)) return;
    for (const line of readFileSync(path, 'utf8').split('\n'))
      if (line !== '') this.lines.push(JSON.parse(line) as Line);
  }

  has(seed: number): boolean {
    return this.lines.some((line) => line.seed === seed);
  }
  get attempts(): number {
    return this.lines.reduce((sum, { figures }) => sum + (figures['attempts'] ?? 0), 0);
  }

  /** @param cpuSeconds of this process; PostgreSQL's are not in it. */
  add(seed: number, result: EpisodeResult, cpuSeconds: number): void {
    const { violations, faults, recoveryMs, byState, trace, ...figures } = result;
    const line: Line = {
      seed,
      cpuSeconds,
      faults: countByKind(faults),
      violations: violations.length,
      recoveryMs,
      byState,
      trace,
      figures,
    };
    this.lines.push(line);
    if (this.path !== undefined) appendFileSync(this.path, `${JSON.stringify(line)}\n`);
  }

  total() {
    const recoveries = this.lines.flatMap(({ recoveryMs }) => recoveryMs).sort((a, b) => a - b);
    const sum = (of: (line: Line) => Readonly<Record<string, number>>): Record<string, number> => {
      const sums: Record<string, number> = {};
      for (const line of this.lines)
        for (const [name, n] of Object.entries(of(line))) sums[name] = (sums[name] ?? 0) + n;
      return sums;
    };
    return {
      worlds: this.lines.length,
      violations: this.lines.reduce((n, { violations }) => n + violations, 0),
      ...sum(({ figures }) => figures),
      cpuSeconds: Math.round(this.lines.reduce((n, { cpuSeconds }) => n + cpuSeconds, 0)),
      byState: sum(({ byState }) => byState),
      faults: sum(({ faults }) => faults),
      recovery: {
        lost: recoveries.length,
        p50Ms: recoveries[recoveries.length >> 1],
        maxMs: recoveries.at(-1),
      },
    };
  }
}

/** Names of faults end in what struck; what they begin with tells whom: message, sql, redis, lab, facility, servers, job. */
function countByKind(faults: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of faults) {
    const whom = /^[a-z]+/.exec(name)?.[0] ?? '';
    const what = /[a-z-]+$/.exec(name)?.[0] ?? '';
    const kind = `${whom} ${what}`;
    counts[kind] = (counts[kind] ?? 0) + 1;
  }
  return counts;
}
