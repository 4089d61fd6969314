import { present } from '@beamtime/kernel';

/** What is known of a model's factors. `null`: unknown, which is never taken for equal to anything. */
export type Factors = Readonly<Record<string, string | number | boolean | null>>;

export interface Described {
  readonly name: string;
  readonly factors: Factors;
}

/** Models that are equal in all but one factor: what can be said about that factor with everything else held. */
export interface ContrastGroup {
  readonly factor: string;
  /** One model of each level, or several where levels repeat. */
  readonly models: readonly { readonly name: string; readonly level: string | number | boolean }[];
}

/** A question that a set of models answers: the effect of one factor, all others held equal. */
export interface Question {
  readonly factor: string;
  /** Pairs of models that differ in this factor and in nothing else. */
  readonly pairs: number;
  readonly groups: readonly ContrastGroup[];
}

/** All factors that any of the models is described by. */
export function factorsOf(models: readonly Described[]): string[] {
  return [...new Set(models.flatMap((model) => Object.keys(model.factors)))];
}

/** The factors in which the models are not all known to be equal. */
export function varyingFactors(models: readonly Described[]): string[] {
  return factorsOf(models).filter((factor) => {
    const levels = new Set(models.map((model) => model.factors[factor] ?? null));
    return levels.size > 1 || (levels.has(null) && models.length > 1);
  });
}

/** For each factor, the models that differ in it alone. Linear in models × factors². */
export function questions(models: readonly Described[]): Question[] {
  const varying = varyingFactors(models);
  return varying.flatMap((factor) => {
    const groups = groupsDifferingIn(models, factor, varying);
    const pairs = groups.reduce((sum, group) => sum + pairsOf(group), 0);
    return pairs === 0 ? [] : [{ factor, pairs, groups }];
  });
}

/** The models that differ from one in exactly one factor, with that factor. */
export function neighbours<Model extends Described>(
  of: Described,
  among: readonly Model[],
): { readonly model: Model; readonly factor: string }[] {
  return among.flatMap((model) => {
    if (model.name === of.name) return [];
    const differing = differences(of.factors, model.factors);
    const [factor] = differing;
    const known =
      factor !== undefined &&
      (of.factors[factor] ?? null) !== null &&
      (model.factors[factor] ?? null) !== null;
    return differing.length === 1 && factor !== undefined && known ? [{ model, factor }] : [];
  });
}

/** The factors in which two descriptions are not known to agree. */
export function differences(a: Factors, b: Factors): string[] {
  const names = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...names].filter((name) => {
    const [x, y] = [a[name] ?? null, b[name] ?? null];
    return x === null || x !== y;
  });
}

function groupsDifferingIn(
  models: readonly Described[],
  factor: string,
  varying: readonly string[],
): ContrastGroup[] {
  const others = varying.filter((name) => name !== factor);
  const byOthers = new Map<string, { name: string; level: string | number | boolean }[]>();
  for (const { name, factors } of models) {
    const level = factors[factor] ?? null;
    const held = others.map((other) => factors[other] ?? null);
    if (level === null || held.includes(null)) continue;
    const key = JSON.stringify(held);
    const group = byOthers.get(key) ?? [];
    group.push({ name, level });
    byOthers.set(key, group);
  }
  return [...byOthers.values()]
    .filter((group) => group.some(({ level }) => level !== present(group[0], 'first').level))
    .map((group) => ({ factor, models: group }));
}

function pairsOf(group: ContrastGroup): number {
  const perLevel = new Map<unknown, number>();
  for (const { level } of group.models) perLevel.set(level, (perLevel.get(level) ?? 0) + 1);
  const all = group.models.length;
  const same = [...perLevel.values()].reduce((sum, count) => sum + count * (count - 1), 0);
  return (all * (all - 1) - same) / 2;
}
