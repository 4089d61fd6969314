// npm run conformance:scheduling — replays every workload of BEAMTIME_DATA/traces with published results through the
// scheduler's decision and compares cell by cell. A published cell for which we have no policy is listed as such. The
// exit code is 0 only if every cell that we can replay is within its tolerance, and every promise is kept.
// --seeds N takes N instead of ten orders of arrival for openb; --part NAME (repeatable) runs one of the parts.
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  readMuriCluster,
  readMuriOverheads,
  readMuriTrace,
  readOpenbNodes,
  readOpenbPods,
  readPhillyTrace,
  simulateMuri,
  simulateOpenb,
} from '@beamtime/scheduling/simulate';
import { fedPhillyCells, inflatingCells } from './fed-philly.mjs';

const root = fileURLToPath(new URL('../../../', import.meta.url));
/** BEAMTIME_DATA, relative to where one stands; by default the folder beside the repository. */
const data = process.env.BEAMTIME_DATA
  ? resolve(process.env.BEAMTIME_DATA)
  : join(root, '..', 'shared', 'data');
const traces = join(data, 'traces');

const muriTolerance = 1e-5;
/** Points of per cent, on the mean over the seeds: a single order of arrival differs by as much. */
const openbTolerance = 0.7;
/** What our packing must pass at 130 % arrived: FGD's published figure. */
const openbToBeat = '06-FGD';
const firstSeed = 42;

const muriRanks = { SRTF: 'srtf', SRSF: 'srsf', Tiresias_L: 'tiresias' };
const openbScores = {
  '01-Random': 'random',
  '02-DotProd': 'dot-product',
  '03-GpuClustering': 'clustering',
  '04-GpuPacking': 'packing',
  '05-BestFit': 'best-fit',
  '06-FGD': 'fgd',
};

function read(file, reader = (text) => ({ ok: true, value: JSON.parse(text) })) {
  const result = reader(readFileSync(join(traces, file), 'utf8'));
  if (!result.ok) throw new Error(`${file}: ${result.error.detail}`);
  return result.value;
}

function* muriCells() {
  const published = read('muri/published.json');
  const cluster = read('muri/n8g8.csv', readMuriCluster);
  const overheads = read('muri/published.json', readMuriOverheads);
  for (const [trace, policies] of Object.entries(published)) {
    if (trace.startsWith('_')) continue;
    const jobs = read(`muri/${trace}.csv`, (text) => readMuriTrace(text, cluster));
    for (const [policy, cells] of Object.entries(policies)) {
      const rank = muriRanks[policy];
      const begin = performance.now();
      const report = rank && simulateMuri(jobs, cluster, overheads, rank, firstSeed);
      const ms = performance.now() - begin;
      for (const [cell, expected] of Object.entries(cells)) {
        const ours = report?.[cell];
        const difference = ours === undefined ? undefined : Math.abs(ours / expected - 1);
        yield {
          what: `muri ${trace} ${policy} ${cell}`,
          expected: expected.toFixed(1),
          ours: ours?.toFixed(1),
          difference: difference?.toExponential(1),
          isFine: difference === undefined ? undefined : difference <= muriTolerance,
          ms,
        };
      }
    }
  }
}

function* openbCells(seeds) {
  const published = read('openb/published.json');
  const nodes = read('openb/openb_node_list_gpu_node.csv', readOpenbNodes);
  const pods = read('openb/openb_pod_list_default.csv', readOpenbPods);
  const cells = ['gpu_allocated_pct_at_100_arrived', 'gpu_allocated_pct_at_130_arrived'];
  const mean = (score) => {
    const begin = performance.now();
    const reports = Array.from({ length: seeds }, (_, at) =>
      simulateOpenb(nodes, pods, score, firstSeed + at),
    );
    const of = (cell) => reports.reduce((sum, report) => sum + report[cell], 0) / seeds;
    return { ...Object.fromEntries(cells.map((cell) => [cell, of(cell)])), ms: performance.now() - begin };
  };
  for (const [policy, known] of Object.entries(published)) {
    const score = openbScores[policy];
    const ours = score && mean(score);
    for (const cell of cells) {
      const difference = ours && ours[cell] - known[cell];
      yield {
        what: `openb ${policy} ${cell}`,
        expected: known[cell].toFixed(2),
        ours: ours?.[cell].toFixed(2),
        difference: difference?.toFixed(2),
        isFine: difference === undefined ? undefined : Math.abs(difference) <= openbTolerance,
        ms: ours?.ms,
      };
    }
  }
  const ours = mean('beamtime');
  for (const cell of cells) {
    const toBeat = published[openbToBeat][cell];
    yield {
      what: `openb beamtime ${cell}`,
      expected: `> ${toBeat.toFixed(2)}`,
      ours: ours[cell].toFixed(2),
      difference: (ours[cell] - toBeat).toFixed(2),
      isFine: ours[cell] > toBeat,
      ms: ours.ms,
    };
  }
}

const parts = {
  muri: () => [muriCells()],
  openb: () => [openbCells(seedsAsked())],
  'fed-philly': () => {
    const trace = read('philly/jobs.csv', readPhillyTrace);
    return [fedPhillyCells(trace), inflatingCells(trace)];
  },
};

function partsAsked() {
  const asked = process.argv.filter((_, at) => process.argv[at - 1] === '--part');
  const unknown = asked.find((part) => !(part in parts));
  if (unknown === undefined) return asked.length === 0 ? Object.keys(parts) : asked;
  console.error(`--part must be one of ${Object.keys(parts).join(', ')}, not ${unknown}`);
  process.exit(2);
}

function seedsAsked() {
  const at = process.argv.indexOf('--seeds');
  const seeds = at === -1 ? 10 : Number(process.argv[at + 1]);
  if (Number.isInteger(seeds) && seeds >= 1 && seeds <= 1000) return seeds;
  console.error('--seeds must be a whole number from 1 to 1000');
  process.exit(2);
}

const asked = partsAsked();
const needed = ['muri/published.json', 'openb/published.json', 'philly/jobs.csv'];
if (!needed.every((file) => existsSync(join(traces, file)))) {
  console.log(
    `SKIPPED: there are no published results in ${traces}. BEAMTIME_DATA names the folder that has them.`,
  );
  process.exit(process.env.BEAMTIME_DATA ? 2 : 0);
}
const columns = [
  ['cell', 62],
  ['expected', 15],
  ['ours', 15],
  ['difference', 10],
  ['', 10],
];
const line = (cells) =>
  cells
    .map((cell, at) =>
      at === 0 ? String(cell).padEnd(columns[at][1]) : String(cell ?? '–').padStart(columns[at][1]),
    )
    .join('  ');
console.log(line(columns.map(([title]) => title)));
const counts = { ok: 0, OUT: 0, 'no policy': 0, measured: 0, 'a sketch': 0 };
for (const part of asked) {
  for (const cells of parts[part]()) {
    for (const { what, expected, ours, difference, isFine, says } of cells) {
      const verdict = says ?? (isFine === undefined ? 'no policy' : isFine ? 'ok' : 'OUT');
      counts[verdict]++;
      console.log(line([what, expected, ours, difference, verdict]));
    }
  }
}
console.log(
  [
    `${counts.ok} cells within tolerance (Muri ${muriTolerance} of the figure; openb ${openbTolerance} points on the mean of ${seedsAsked()} seeds; FED-Philly equal, or as promised)`,
    `${counts.OUT} out of it`,
    `${counts['no policy']} published cells for which there is no policy here`,
    `${counts['a sketch']} of sketches that are not ours`,
    `${counts.measured} with nothing to compare with.`,
  ].join(', '),
);
process.exitCode = counts.OUT === 0 ? 0 : 1;
