import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { sealCertificate, type TallyCertificate } from '../domain/tally/certificate.js';
import { matchElection } from '../domain/tally/match-election.js';
import { tally } from '../domain/tally/tally.js';
import type { EqualSharesRule, TallyInput, TallyRule } from '../domain/tally/tally-input.js';
import { drawElection, type Tampering, tamperings } from '../domain/tally/testing.js';
import { verifyCertificate } from './verify-certificate.js';

/** With the digests left as they were, and as many with renewed ones. */
const ENOUGH = 10_000;
/** Generous, for a machine that does much else. */
const TIMEOUT_MS = 600_000;

const shares: EqualSharesRule = { name: 'equal-shares', utility: 'cost', completion: 'none' };
/** Every rule, utility and completion, and budgets beside each other. */
const kinds: { rule: TallyRule; budgets?: number }[] = [
  { rule: shares },
  { rule: { ...shares, utility: 'cardinality', threshold: '2' } },
  { rule: { ...shares, completion: 'add1' } },
  { rule: { ...shares, completion: 'add1u' } },
  { rule: { ...shares, utility: 'cardinality', completion: 'phragmen' } },
  { rule: shares, budgets: 2 },
  { rule: { ...shares, utility: 'cardinality', completion: 'add1' }, budgets: 2 },
  { rule: { name: 'phragmen', skip: false } },
  { rule: { name: 'phragmen', skip: true } },
  { rule: { name: 'greedy', utility: 'cost', skip: true } },
  { rule: { name: 'greedy', utility: 'cardinality', skip: false, threshold: '2' } },
];
/** What every certificate or some have in them: each is tampered with. */
const fields = [
  ...['/format', '/title', '/seed', '/rule/name', '/rule/utility', '/rule/completion', '/rule/skip'],
  ...['/rule/increment', '/rule/threshold'],
  ...['/units/money/*', '/units/grains', '/units/weight', '/units/score'],
  ...['/budgets', '/budgets/*/resource', '/budgets/*/amount', '/endowment', '/raises'],
  ...['/projects', '/projects/*/id', '/projects/*/name', '/projects/*/costs/*', '/projects/*/exclusiveGroup'],
  ...['/groups', '/groups/*/voters', '/groups/*/voters/*', '/groups/*/weight'],
  ...['/groups/*/ballot', '/groups/*/ballot/*', '/groups/*/scores', '/groups/*/scores/*'],
  ...['/winners', '/winners/*/project', '/winners/*/by', '/winners/*/prices/*', '/winners/*/payments'],
  ...['/winners/*/payments/*/amounts/*', '/winners/*/payments/*/groups', '/winners/*/payments/*/groups/*'],
  ...['/losers', '/losers/*/project', '/losers/*/reason/code', '/losers/*/reason/left/*'],
  ...['/losers/*/reason/winner', '/losers/*/reason/stoppedBy'],
  ...['/overrun', '/overrun/*/project', '/overrun/*/prices/*'],
  ...['/stop', '/stop/*/project', '/stop/*/prices/*'],
  ...['/ballotsSha256', '/sha256'],
];

interface Forgery extends Tampering {
  readonly input: TallyInput;
}

/** Small elections of every kind in turn, each counted once, and all that one can change in their certificates. */
function drawForgeries(): Forgery[] {
  const elections = kinds.map(({ rule, budgets = 1 }) => {
    const shape = { budgets, points: true, weights: true, variants: true, maxVoters: 4, maxProjects: 4 };
    return drawElection(rule, shape);
  });
  const forgeries: Forgery[] = [];
  // Some change only a digest, which a renewed digest undoes.
  const enough = ENOUGH * 1.1;
  const untouched = new Set(fields);
  for (let n = 0; n < 2_000 && (forgeries.length < enough || untouched.size > 0); n++) {
    const [input] = fc.sample(elections[n % kinds.length] as fc.Arbitrary<TallyInput>, 1);
    if (!input) throw new Error('no election was drawn');
    const certificate = certificateOf(input);
    const verdicts = [verifyCertificate(certificate), matchElection(certificate, input)];
    expect(verdicts, JSON.stringify(input)).toEqual([{ valid: true }, { valid: true }]);
    for (const tampering of tamperings(certificate)) {
      untouched.delete(tampering.path.replace(/\/\d+/g, '/*'));
      forgeries.push({ ...tampering, input });
    }
  }
  expect([...untouched]).toEqual([]);
  return forgeries;
}

function certificateOf(input: TallyInput): TallyCertificate {
  const counted = tally(input);
  if (!counted.ok) throw new Error(counted.error.detail);
  return counted.value.certificate;
}

/** A forger who also renews the digests. */
function resealed({ sha256: _, ballotsSha256: __, ...content }: TallyCertificate): TallyCertificate {
  return sealCertificate(content);
}

const told = ({ path, forged, input }: Forgery): string =>
  `${path} of ${JSON.stringify(forged)} about ${JSON.stringify(input)}`;

describe('a tampered certificate', () => {
  let forgeries: readonly Forgery[] = [];
  beforeAll(() => {
    forgeries = drawForgeries();
  }, TIMEOUT_MS);

  it(
    'is rejected, whichever number, name, ballot or payment is changed (at least 10,000 tamperings)',
    () => {
      const accepted = forgeries.filter(({ forged }) => verifyCertificate(forged).valid);
      expect(accepted.map(told)).toEqual([]);
      expect(forgeries.length).toBeGreaterThanOrEqual(ENOUGH);
    },
    TIMEOUT_MS,
  );

  it(
    'is rejected with renewed digests too, unless what it says is true of the same election',
    () => {
      const anew = forgeries.filter(({ path }) => !/^\/(ballotsS|s)ha256/.test(path));
      const accepted = anew.flatMap((forgery) => {
        const forged = tryReseal(forgery.forged);
        if (!forged || !verifyCertificate(forged).valid) return [];
        return matchElection(forged, forgery.input).valid ? [{ ...forgery, forged }] : [];
      });
      const untrue = accepted.filter(({ forged, input }) => !isTrueOf(forged, input));
      expect(untrue.map(told)).toEqual([]);
      expect(accepted.length).toBeLessThan(anew.length / 10);
      expect(anew.length).toBeGreaterThanOrEqual(ENOUGH);
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
  expect(runs('verify-certificate.ts')).toEqual(['node:crypto', 'canonicalize', './certificate-schema.js']);
  expect(runs('certificate-schema.ts')).toEqual(['zod']);
});
