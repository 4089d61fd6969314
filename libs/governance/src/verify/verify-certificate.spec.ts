import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sealCertificate, type TallyCertificate } from '../domain/tally/certificate.js';
import { matchElection } from '../domain/tally/match-election.js';
import { tally } from '../domain/tally/tally.js';
import type { EqualSharesRule, TallyInput, TallyRule } from '../domain/tally/tally-input.js';
import { drawElection, tamperings } from '../domain/tally/testing.js';
import { verifyCertificate } from './verify-certificate.js';

/** Each certificate is tampered with in some hundred ways, until there are enough of them. */
const RUNS = 80;
const ENOUGH = 10_000;
/** Generous, for a machine that does much else. */
const TIMEOUT_MS = 600_000;

const shares: EqualSharesRule = { name: 'equal-shares', utility: 'cost', completion: 'none' };
const rules: TallyRule[] = [
  shares,
  { ...shares, utility: 'cardinality' },
  { ...shares, completion: 'add1' },
  { ...shares, completion: 'add1u' },
  { ...shares, completion: 'phragmen' },
  { name: 'phragmen', skip: false },
  { name: 'phragmen', skip: true },
  { name: 'greedy', utility: 'cost', skip: true },
  { name: 'greedy', utility: 'cardinality', skip: false, threshold: '2' },
];

const drawn = fc
  .constantFrom(...rules)
  .chain((rule) =>
    drawElection(rule, { points: true, weights: true, variants: true, maxVoters: 5, maxProjects: 4 }),
  );

function certificateOf(input: TallyInput): TallyCertificate {
  const counted = tally(input);
  if (!counted.ok) throw new Error(counted.error.detail);
  return counted.value.certificate;
}

/** A forger who also renews the digests. */
function resealed({ sha256: _, ballotsSha256: __, ...content }: TallyCertificate): TallyCertificate {
  return sealCertificate(content);
}

describe('a tampered certificate', () => {
  it(
    'is rejected, whichever number, name, ballot or payment is changed (at least 10,000 tamperings)',
    () => {
      let tampered = 0;
      fc.assert(
        fc.property(drawn, (input) => {
          if (tampered >= ENOUGH) return;
          const certificate = certificateOf(input);
          expect(verifyCertificate(certificate)).toEqual({ valid: true });
          for (const { path, forged } of tamperings(certificate)) {
            tampered++;
            expect(verifyCertificate(forged).valid, path).toBe(false);
          }
        }),
        { numRuns: RUNS },
      );
      expect(tampered).toBeGreaterThanOrEqual(10_000);
    },
    TIMEOUT_MS,
  );

  it(
    'is rejected with renewed digests too, unless what it says is true of the same election',
    () => {
      let tampered = 0;
      let harmless = 0;
      fc.assert(
        fc.property(drawn, (input) => {
          if (tampered >= ENOUGH) return;
          const certificate = certificateOf(input);
          expect(matchElection(certificate, input)).toEqual({ valid: true });
          for (const { path, forged: loose } of tamperings(certificate)) {
            if (path.startsWith('/sha256') || path.startsWith('/ballotsSha256')) continue;
            tampered++;
            const forged = tryReseal(loose);
            if (!forged || !verifyCertificate(forged).valid || !matchElection(forged, input).valid) continue;
            harmless++;
            expect(isTrueOf(forged, input), `${path} of ${JSON.stringify(certificate)}`).toBe(true);
          }
        }),
        { numRuns: RUNS },
      );
      expect(tampered).toBeGreaterThanOrEqual(10_000);
      expect(harmless).toBeLessThan(tampered / 10);
    },
    TIMEOUT_MS,
  );
});

function tryReseal(forged: TallyCertificate): TallyCertificate | undefined {
  try {
    return resealed(forged);
  } catch {
    return undefined;
  }
}

/** Whether counting the election by the rule and seed that the forgery names gives the same winners and payments. */
function isTrueOf(forged: TallyCertificate, input: TallyInput): boolean {
  const { units } = forged;
  const inUnits = (text: string | undefined, unit: bigint): string => `${BigInt(text ?? '0')}/${unit}`;
  const money = BigInt(units.money[0] ?? '1');
  const threshold = inUnits(forged.rule.threshold, BigInt(units.weight) * BigInt(units.score));
  const rule: TallyRule =
    forged.rule.name === 'equal-shares'
      ? { ...forged.rule, threshold, increment: inUnits(forged.rule.increment, money) }
      : { ...forged.rule, threshold };
  const honest = certificateOf({ ...input, rule, seed: forged.seed });
  const winners = (certificate: TallyCertificate) => certificate.winners.map(({ project }) => project);
  return JSON.stringify(winners(honest)) === JSON.stringify(winners(forged));
}

it('the verifier stays under 200 lines, and runs nothing of ours but the shape of a certificate', () => {
  const read = (file: string) => readFileSync(new URL(file, import.meta.url), 'utf8');
  const runs = (file: string) =>
    [...read(file).matchAll(/^import (?!type )[^;]* from '([^']+)'/gm)].map(([, from]) => from);
  expect(read('verify-certificate.ts').trimEnd().split('\n').length).toBeLessThan(200);
  expect(runs('verify-certificate.ts')).toEqual([
    'node:assert/strict',
    'node:crypto',
    'canonicalize',
    './certificate-schema.js',
  ]);
  expect(runs('certificate-schema.ts')).toEqual(['zod']);
});
