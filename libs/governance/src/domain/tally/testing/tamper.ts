import type { TallyCertificate } from '../certificate.js';

export interface Tampering {
  readonly path: string;
  readonly forged: TallyCertificate;
}

/** Every certificate that differs in one value, one entry left out, one doubled, or two neighbours swapped. */
export function* tamperings(certificate: TallyCertificate): Generator<Tampering> {
  for (const path of pathsOf(certificate, [])) {
    for (const change of changesAt(certificate, path)) {
      const forged = structuredClone(certificate) as unknown;
      change(forged);
      // Swapping equals, for one, changes nothing, and so is no tampering.
      if (JSON.stringify(forged) === JSON.stringify(certificate)) continue;
      yield { path: `/${path.join('/')}`, forged: forged as TallyCertificate };
    }
  }
}

type Path = readonly (string | number)[];
type Change = (root: unknown) => void;

function* pathsOf(value: unknown, path: Path): Generator<Path> {
  if (path.length > 0) yield path;
  if (typeof value !== 'object' || value === null) return;
  for (const [key, member] of Object.entries(value)) {
    yield* pathsOf(member, [...path, Array.isArray(value) ? Number(key) : key]);
  }
}

function changesAt(root: unknown, path: Path): Change[] {
  const value = at(root, path);
  if (typeof value === 'string') return textChanges(value).map((next) => replace(path, next));
  if (typeof value === 'number') return [value + 1, value - 1].map((next) => replace(path, next));
  if (typeof value === 'boolean') return [replace(path, !value)];
  if (!Array.isArray(value) || value.length === 0) return [];
  return [
    (forged) => listAt(forged, path).pop(),
    (forged) => listAt(forged, path).shift(),
    (forged) => listAt(forged, path).push(structuredClone(value[0])),
    (forged) => listAt(forged, path).reverse(),
  ];
}

function textChanges(text: string): string[] {
  if (/^-?\d+$/.test(text))
    return [`${BigInt(text) + 1n}`, `${BigInt(text) - 1n}`, `${BigInt(text) * 2n}`, `${text}0`];
  return [`${text}x`, text.slice(1), ...(alternatives[text] ?? [])].filter((next) => next !== text);
}

/** Other words that stand in the same place of a certificate. */
const alternatives: Readonly<Record<string, readonly string[]>> = {
  cost: ['cardinality'],
  cardinality: ['cost'],
  none: ['add1', 'phragmen'],
  add1: ['none', 'add1u'],
  add1u: ['add1', 'none'],
  'equal-shares': ['greedy', 'phragmen'],
  phragmen: ['greedy', 'equal-shares', 'none'],
  greedy: ['phragmen', 'equal-shares'],
  unaffordable: ['no_room', 'unsupported'],
  unsupported: ['below_threshold', 'variant'],
  no_room: ['after_stop', 'unaffordable'],
  p0: ['p1'],
  p1: ['p0', 'p2'],
  p2: ['p1'],
  v0: ['v1', 'v9'],
};

function at(root: unknown, path: Path): unknown {
  return path.reduce<unknown>((value, key) => (value as Record<string | number, unknown>)[key], root);
}

function listAt(root: unknown, path: Path): unknown[] {
  return at(root, path) as unknown[];
}

function replace(path: Path, next: unknown): Change {
  return (root) => {
    const parent = at(root, path.slice(0, -1)) as Record<string | number, unknown>;
    parent[path.at(-1) as string | number] = next;
  };
}
