// npm run conformance:elections — counts every real election of BEAMTIME_DATA/elections whose outcome is known, and
// compares. A row per class; the exit code is 0 only if every difference is explained by a tie, and every certificate
// verifies and is about its election.
import { matchElection, pabulibTallyInput, tally, verifyCertificate } from '@beamtime/governance/tally';
import { explainDifference, sameWinners } from './explain-difference.mjs';
import { readElection, readOutcomes, requireElections } from './read-elections.mjs';

const SEED = 'conformance';
const shares = (utility, completion) => ({ name: 'equal-shares', utility, completion });

/** Each class: what is known, by what rule it came about, and whether a tie may explain a difference. */
function classesOf(outcomes) {
  const city = outcomes.greedy_decided_by_a_city;
  const computed = outcomes.computed_by_pabutools_1_2_3;
  const greedyBy = (rule) => ({
    title: `${rule}, decided by cities`,
    tiesMayDiffer: false,
    known: city
      .filter((known) => known.rule === rule)
      .map(({ file, winners, threshold }) => ({
        file,
        winners,
        rule: {
          name: 'greedy',
          utility: 'cost',
          skip: rule !== 'greedy-no-skip',
          threshold: String(threshold),
        },
      })),
  });
  const computedAs = (title, key, rule) => ({
    title: `${title}, computed by pabutools`,
    tiesMayDiffer: true,
    known: computed.map((known) => ({ file: known.file, winners: known[key], rule })),
  });
  return [
    {
      title: 'Equal Shares + Add1, decided by cities',
      tiesMayDiffer: false,
      known: outcomes.mes_decided_by_a_city.map(({ file, winners }) => ({
        file,
        winners,
        rule: shares('cost', 'add1'),
      })),
    },
    ...[...new Set(city.map(({ rule }) => rule))].sort().map(greedyBy),
    computedAs('Equal Shares, cost', 'mes_cost', shares('cost', 'none')),
    computedAs('Equal Shares, cardinality', 'mes_cardinality', shares('cardinality', 'none')),
    computedAs('Phragmén', 'phragmen', { name: 'phragmen', skip: false }),
    computedAs('greedy by votes per cost', 'greedy_cardinality', {
      name: 'greedy',
      utility: 'cardinality',
      skip: true,
    }),
  ];
}

function checkClass({ title, known, tiesMayDiffer }) {
  const row = { title, elections: known.length, equal: 0, byTie: 0, different: 0, uncertified: 0, ms: 0 };
  for (const { file, winners, rule } of known) {
    const input = pabulibTallyInput(readElection(file), rule, SEED);
    const begin = performance.now();
    const counted = tally(input);
    row.ms += performance.now() - begin;
    if (!counted.ok) throw new Error(`${file}: ${counted.error.detail}`);
    const { certificate, winners: ours } = counted.value;
    const verdicts = [verifyCertificate(certificate), matchElection(certificate, input)];
    for (const { valid, reason } of verdicts) {
      if (valid) continue;
      row.uncertified++;
      console.log(`  ${file}: its certificate does not verify: ${reason}`);
    }
    if (sameWinners(ours, winners)) row.equal++;
    else explain(row, file, input, ours, winners, tiesMayDiffer);
  }
  return row;
}

function explain(row, file, input, ours, theirs, tiesMayDiffer) {
  const ties = tiesMayDiffer ? explainDifference(input, theirs) : undefined;
  const only = (these, those) => these.filter((id) => !those.includes(id)).join(', ') || 'nothing';
  console.log(`  ${file}: ours alone ${only(ours, theirs)}; theirs alone ${only(theirs, ours)}`);
  if (!ties) {
    row.different++;
    console.log('    NOT explained by a tie');
    return;
  }
  row.byTie++;
  for (const { round, tied, chosen, by } of ties) {
    console.log(
      `    explained by the tie at place ${round} between ${tied.join(', ')}: ${chosen} went first by ${by}`,
    );
  }
}

requireElections();
const rows = classesOf(readOutcomes()).map(checkClass);
console.log(
  ['class'.padEnd(50), 'elections', 'equal', 'by tie', 'different', 'uncertified', 'ms'].join('  '),
);
for (const { title, elections, equal, byTie, different, uncertified, ms } of rows) {
  const cells = [
    [elections, 9],
    [equal, 5],
    [byTie, 6],
    [different, 9],
    [uncertified, 11],
    [Math.round(ms), 2],
  ];
  console.log([title.padEnd(50), ...cells.map(([cell, width]) => String(cell).padStart(width))].join('  '));
}
const bad = rows.reduce((sum, { different, uncertified }) => sum + different + uncertified, 0);
console.log(bad === 0 ? 'No unexplained difference.' : `${bad} unexplained differences or bad certificates.`);
process.exitCode = bad === 0 ? 0 : 1;
