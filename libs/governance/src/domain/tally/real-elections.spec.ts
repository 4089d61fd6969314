import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { verifyCertificate } from '../../verify/verify-certificate.js';
import { matchElection } from './match-election.js';
import { pabulibTallyInput } from './pabulib-tally-input.js';
import { PabulibReader } from './read-pabulib.js';
import { type TallyResult, tally } from './tally.js';
import type { TallyInput, TallyRule } from './tally-input.js';

const root = fileURLToPath(new URL('../../../../../', import.meta.url));
const data = process.env['BEAMTIME_DATA']
  ? resolve(process.env['BEAMTIME_DATA'])
  : join(root, '..', 'shared', 'data');
const elections = join(data, 'elections');
const present = existsSync(join(elections, 'outcomes.json'));
if (!present)
  console.warn(`No elections in ${elections}: set BEAMTIME_DATA to check the tally against real ones.`);

/** Small files of every ballot type; `npm run conformance:elections` takes all. */
const files = [
  'Netherlands_Assen_2024.pb',
  'Poland_Krakow_2018_Bronowice.pb',
  'Poland_Czestochowa_2024_Mirow.pb',
  'Poland_Wroclaw_2017_Rejon_nr_9_250.pb',
  'Poland_Warszawa_2019_Falenica.pb',
  'Poland_Gdynia_2022_Babie_Doly__small.pb',
];
const rules: TallyRule[] = [
  { name: 'equal-shares', utility: 'cost', completion: 'add1' },
  { name: 'equal-shares', utility: 'cardinality', completion: 'add1u' },
  { name: 'equal-shares', utility: 'cost', completion: 'phragmen' },
  { name: 'phragmen', skip: false },
  { name: 'greedy', utility: 'cost', skip: true, threshold: '50' },
];

function read(file: string, rule: TallyRule): TallyInput {
  const reader = new PabulibReader();
  reader.push(readFileSync(join(elections, file), 'utf8'));
  const election = reader.finish();
  if (!election.ok) throw new Error(election.error.detail);
  return pabulibTallyInput(election.value, rule, 'real');
}

function count(input: TallyInput): TallyResult {
  const counted = tally(input);
  if (!counted.ok) throw new Error(counted.error.detail);
  return counted.value;
}

describe.skipIf(!present)('real elections', () => {
  it('Assen 2024: Equal Shares with Add1 gives what the city decided', () => {
    const outcomes = JSON.parse(readFileSync(join(elections, 'outcomes.json'), 'utf8')) as {
      mes_decided_by_a_city: { file: string; winners: string[]; cost: number }[];
    };
    const known = outcomes.mes_decided_by_a_city.find(({ file }) => file.includes('Assen'));
    const { winners, cost } = count(
      read('Netherlands_Assen_2024.pb', { name: 'equal-shares', utility: 'cost', completion: 'add1' }),
    );
    expect([...winners].sort()).toEqual([...(known?.winners ?? [])].sort());
    expect(cost).toEqual([`${known?.cost}`]);
  });

  it.each(files.filter((file) => present && existsSync(join(elections, file))))(
    '%s is counted and certified by every rule',
    (file) => {
      for (const rule of rules) {
        const input = read(file, rule);
        const { certificate } = count(input);
        expect(verifyCertificate(certificate)).toEqual({ valid: true });
        expect(matchElection(certificate, input)).toEqual({ valid: true });
      }
    },
  );

  it.each(rules)('a voter of weight k counts as k voters of Assen, by $name', (rule) => {
    const input = read('Netherlands_Assen_2024.pb', rule);
    const byBallot = new Map<string, number>();
    for (const { ballot } of input.voters) {
      const key = [...ballot].sort().join();
      byBallot.set(key, (byBallot.get(key) ?? 0) + 1);
    }
    const merged = [...byBallot].map(([key, weight], voter) => ({
      id: `${voter}`,
      weight: `${weight}`,
      ballot: key === '' ? [] : key.split(','),
    }));
    expect(merged.length).toBeLessThan(input.voters.length);
    const plain = count(input);
    const weighted = count({ ...input, voters: merged });
    expect(weighted.winners).toEqual(plain.winners);
    expect(weighted.certificate.endowment).toEqual(plain.certificate.endowment);
    expect(verifyCertificate(weighted.certificate)).toEqual({ valid: true });
  });
});
