import { createHash } from 'node:crypto';

/** A number in [0, 1) that depends on the key alone: the same wherever and whenever it is asked for. */
export function chance(seed: number, key: string): number {
  return createHash('sha1').update(`${seed}/${key}`).digest().readUInt32BE(0) / 2 ** 32;
}

/** A stream of numbers in [0, 1): mulberry32. */
export function stream(seed: number, key: string): () => number {
  let state = Math.floor(chance(seed, key) * 2 ** 32) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Which faults strike. Each possible fault has a name (who, what, the how-manieth time), and whether it strikes
 * depends on seed and name only. So a run can be replayed, and replayed with some of its faults left out: that is
 * how a counterexample is made smaller.
 */
export class FaultPlan {
  /** Names of those that struck, in order. */
  readonly struck: string[] = [];
  /** Once calm, nothing strikes any more. */
  calm = false;

  constructor(
    readonly seed: number,
    /** Only these may strike; absent: whatever the seed says. */
    private readonly only?: ReadonlySet<string>,
    /** Hears of each fault that could strike. */
    private readonly onPossible?: (name: string) => void,
  ) {}

  strikes(name: string, probability: number): boolean {
    if (this.calm) return false;
    this.onPossible?.(name);
    const strikes = this.only === undefined ? chance(this.seed, name) < probability : this.only.has(name);
    if (strikes) this.struck.push(name);
    return strikes;
  }

  /** How long, or how much: between `least` and `most`, more often small than large. */
  amount(name: string, least: number, most: number): number {
    return least + (most - least) * chance(this.seed, `${name}/amount`) ** 2;
  }
}
