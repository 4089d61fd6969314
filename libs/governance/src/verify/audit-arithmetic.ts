/** What the verifier of decisions counts with: fractions and digests of its own, and a way to say what is wrong. */

import { createHash } from 'node:crypto';
import { default as canonicalize } from 'canonicalize';

export const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
/** JSON in its canonical form (RFC 8785). */
export const canonicalText = (value: unknown): string => canonicalize(value) ?? '';

/** Raised by a check that fails; the verdict says it. */
export class Wrong extends Error {}
export function demand(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Wrong(otherwise);
}

/** Numerator and denominator of `7`, `7/3` or `0.25`. */
export function fraction(text: string): [bigint, bigint] {
  const match = /^(\d+)(?:\/(\d+)|\.(\d+))?$/.exec(text);
  demand(match !== null, `${text} is not a number`);
  const [, whole = '', under, decimals = ''] = match;
  if (under !== undefined) demand(BigInt(under) > 0n, `${text} divides by nothing`);
  return under === undefined
    ? [BigInt(whole + decimals), 10n ** BigInt(decimals.length)]
    : [BigInt(whole), BigInt(under)];
}
export const less = (a: string, b: string): boolean => {
  const [an, ad] = fraction(a);
  const [bn, bd] = fraction(b);
  return an * bd < bn * ad;
};
export const equal = (a: string, b: string): boolean => !less(a, b) && !less(b, a);

/** The sum, in lowest terms. */
export function total(parts: readonly string[]): string {
  let [n, d] = [0n, 1n];
  for (const part of parts) {
    const [pn, pd] = fraction(part);
    [n, d] = [n * pd + pn * d, d * pd];
    if (pd === 1n) continue;
    let [a, b] = [n, d];
    while (b > 0n) [a, b] = [b, a % b];
    [n, d] = [n / a, d / a];
  }
  return d === 1n ? `${n}` : `${n}/${d}`;
}
