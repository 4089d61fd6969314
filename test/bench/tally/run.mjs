// npm run bench:tally — Łódź 2022 (90,494 ballots × 160 projects): each rule in a process of its own, as one runs it
// from a shell: reading the file, counting and writing the certificate. Time and peak memory, beside pabutools 1.2.3.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { dataFolder, requireElections } from '../../conformance/elections/read-elections.mjs';

const FILE = 'Poland_Lodz_2022.pb';
const LIMIT_SECONDS = 4;
const LIMIT_MEGABYTES = 1_000;
const runs = [
  { title: 'Equal Shares', args: ['--rule', 'equal-shares'], pabutoolsSeconds: 6.9 },
  { title: 'Equal Shares + Add1', args: ['--completion', 'add1'], pabutoolsSeconds: 41.7 },
  { title: 'Equal Shares + Add1U', args: ['--completion', 'add1u'] },
  { title: 'Phragmén', args: ['--rule', 'phragmen'] },
  { title: 'greedy', args: ['--rule', 'greedy', '--threshold', '100'] },
];

requireElections();
const measured = fileURLToPath(new URL('measure.mjs', import.meta.url));
const file = join(dataFolder, 'elections', process.argv[2] ?? FILE);
console.log(
  [
    'rule'.padEnd(22),
    'seconds',
    'reading',
    'counting',
    'writing',
    'verifying',
    'peak MB',
    'pabutools s',
  ].join('  '),
);
let failed = false;
for (const { title, args, pabutoolsSeconds } of runs) {
  const begin = performance.now();
  const run = spawnSync(process.execPath, [measured, file, ...args], { encoding: 'utf8' });
  const seconds = (performance.now() - begin) / 1_000;
  if (run.status !== 0) throw new Error(run.stderr);
  const told = JSON.parse(run.stdout);
  const wall = seconds - told.verifying;
  failed ||= wall > LIMIT_SECONDS || told.peakMegabytes > LIMIT_MEGABYTES;
  const cells = [
    [wall.toFixed(2), 7],
    [told.reading.toFixed(2), 7],
    [told.counting.toFixed(2), 8],
    [told.writing.toFixed(2), 7],
    [told.verifying.toFixed(2), 9],
    [String(Math.round(told.peakMegabytes)), 7],
    [pabutoolsSeconds?.toFixed(1) ?? '', 11],
  ];
  console.log([title.padEnd(22), ...cells.map(([cell, width]) => cell.padStart(width))].join('  '));
}
console.log(
  `Seconds: the whole process without verifying; at most ${LIMIT_SECONDS} s and ${LIMIT_MEGABYTES} MB allowed.`,
);
process.exitCode = failed ? 1 : 0;
