// npm run bench:scheduling [-- --part cycles|kueue|depth] — the control plane on its own servers: the scheduler service
// over real HTTP, a durable PostgreSQL, Redis, and simulated agents that hold real leases.
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { measureCycles, measureSubmissions } from './cycles.mjs';
import { endDepth, measureDepth, prepareDepth } from './depth.mjs';
import { measureKueue } from './kueue.mjs';
import { goFirst } from './priority.mjs';
import { startServers } from './servers.mjs';

const parts = ['cycles', 'kueue', 'depth'];
const usage = `Usage: npm run bench:scheduling -- [--part ${parts.join('|')}]… [--protocol batch|single] [--seconds N] [--jobs N] [--scale X] [--depth N]… [--statements] [--go-first]`;

function readOptions() {
  let values;
  try {
    ({ values } = parseArgs({
      options: {
        part: { type: 'string', multiple: true, default: parts },
        protocol: { type: 'string', default: 'batch' },
        seconds: { type: 'string', default: '15' },
        jobs: { type: 'string', default: '10000' },
        scale: { type: 'string', default: '1' },
        depth: { type: 'string', multiple: true, default: ['1000', '10000', '100000', '1000000'] },
        statements: { type: 'boolean', default: false },
        'go-first': { type: 'boolean', default: false },
      },
    }));
  } catch (error) {
    refuse(error.message);
  }
  const wrong = values.part.find((part) => !parts.includes(part));
  if (wrong !== undefined) refuse(`there is no part ${wrong}`);
  if (!['batch', 'single'].includes(values.protocol)) refuse(`there is no protocol ${values.protocol}`);
  const number = (name, text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < 1) refuse(`--${name} is a whole number above 0, not ${text}`);
    return value;
  };
  return {
    parts: values.part,
    statements: values.statements,
    goFirst: values['go-first'],
    protocol: values.protocol,
    seconds: number('seconds', values.seconds),
    jobs: number('jobs', values.jobs),
    scale:
      Number(values.scale) > 0 ? Number(values.scale) : refuse(`--scale is above 0, not ${values.scale}`),
    depths: values.depth.map((depth) => number('depth', depth)).sort((a, b) => a - b),
  };
}

function refuse(why) {
  process.stderr.write(`${why}\n${usage}\n`);
  process.exit(2);
}

const startedMs = performance.now();
const say = (line) =>
  process.stderr.write(`  ${((performance.now() - startedMs) / 1_000).toFixed(0)} s  ${line}\n`);
const table = (head, rows) => {
  const widths = head.map((cell, i) => Math.max(cell.length, ...rows.map((row) => row[i].length)));
  const line = (cells) => `| ${cells.map((cell, i) => cell.padEnd(widths[i])).join(' | ')} |`;
  console.log([line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n'));
};
const f = (value, digits = 1) => value.toFixed(digits);
let current;
let interrupted = false;

/** Each part has servers of its own, so that none measures what another left behind. */
async function withServers(work) {
  current = await startServers({ statements: options.statements, say });
  try {
    return await work(current);
  } finally {
    const servers = current;
    current = undefined;
    await servers.close();
  }
}

async function cycles(options) {
  console.log('\n## Durable start + finish cycles');
  await withServers(async (servers) => {
    const measured = await measureCycles(servers, { ...options, say });
    const submitted = await measureSubmissions(servers, { jobs: 2_000, parallel: 32, say });
    table(
      ['measured', 'per second', 'count', 'seconds', 'CPU ms each: service', 'PostgreSQL', 'commits each'],
      [
        [
          'submissions, one HTTP call each',
          f(submitted.perSecond),
          String(submitted.count),
          f(submitted.wall),
          f(submitted.serviceMs, 2),
          f(submitted.postgresMs, 2),
          '',
        ],
        [
          `cycles (${measured.protocol})`,
          f(measured.perSecond),
          String(measured.count),
          f(measured.wall),
          f(measured.serviceMsPerCycle, 2),
          f(measured.postgresMsPerCycle, 2),
          f(measured.commitsPerCycle, 2),
        ],
      ],
    );
    console.log(
      `${measured.refused} refused; ${measured.settled} holds posted in the ledger; ${f(measured.decisionsPerSecond)} decisions a second; the agents took ${f(measured.agentsMsPerCycle, 2)} ms of CPU each; load ${loadavg()
        .map((load) => f(load))
        .join(', ')}.`,
    );
    const parts = Object.entries(measured.decisionParts).map(([part, mean]) => `${part} ${f(mean)}`);
    console.log(`Means of a decision, ms: ${parts.join(', ')}.`);
    tellStatements(measured.statements, measured.count);
  });
}

/** Where PostgreSQL's time went, by statement, for each cycle or decision. */
function tellStatements(statements, count) {
  if (statements.length === 0) return;
  table(
    ['ms each', 'calls each', 'rows each', 'WAL bytes each', 'buffers each', 'statement'],
    statements.map((one) => [
      f(one.ms / count, 3),
      f(one.calls / count, 3),
      f(one.rows / count, 2),
      f(one.wal_bytes / count, 0),
      f(one.buffers / count, 0),
      one.query.replaceAll(/\s+/g, ' ').slice(0, 140),
    ]),
  );
}

async function kueue({ scale }) {
  console.log(`\n## Kueue's load${scale === 1 ? ': 15,000 workloads' : `, ${scale} of it`}`);
  await withServers(async (servers) => {
    const told = await measureKueue(servers, { scale, say });
    table(
      ['', 'this run', 'Kueue'],
      [
        ['makespan, s', f(told.makespan), '351'],
        ['done', `${told.done} of ${told.total}`, '15000'],
        ['all submitted after, s', f(told.submittedWithin), 'about 60'],
        ...told.waits.map(({ name, mean }) => [
          `mean time to admission, ${name}, s`,
          f(mean),
          { small: '215', medium: '77', large: '6.7' }[name],
        ]),
        ['decisions', String(told.cycles), ''],
        ['CPU s: service, PostgreSQL', `${f(told.serviceCpu)}, ${f(told.postgresCpu)}`, ''],
      ],
    );
    console.log(`${told.refusals} refused ${told.firstRefusals.join('; ')}`);
  });
}

async function depth(options) {
  console.log('\n## One decision at depth');
  await withServers(async (servers) => {
    const floor = await prepareDepth(servers, { say });
    const rows = [];
    for (const wanted of options.depths) {
      const one = await measureDepth(servers, floor, { depth: wanted, seconds: options.seconds, say });
      const both = ({ p50, p99 }) => `${f(p50)} / ${f(p99)}`;
      rows.push([
        String(wanted),
        String(one.decisions),
        both(one.decision),
        both(one.load),
        both(one.decide),
        both(one.apply),
        both(one.sweep),
        String(one.placed),
        f(one.cpuMsPerDecision),
        f(one.servicePeakMiB, 0),
        f(one.postgresMiB, 0),
      ]);
      say(`${wanted}: p99 ${f(one.decision.p99)} ms`);
      tellStatements(one.statements, one.decisions);
    }
    await endDepth(floor);
    table(
      [
        'waiting',
        'decisions',
        'decision p50 / p99, ms',
        'load',
        'decide',
        'apply',
        'sweep (before)',
        'placed',
        'CPU ms per decision, all of service and PostgreSQL',
        'service, peak MiB',
        'PostgreSQL, MiB (shared pages once)',
      ],
      rows,
    );
  });
}

const options = readOptions();
const end = () => {
  if (interrupted) return;
  interrupted = true;
  say('ending the servers');
  const closed = current?.close() ?? Promise.resolve();
  closed.finally(() => process.exit(130));
};
process.on('SIGINT', end);
process.on('SIGTERM', end);
if (options.goFirst) goFirst();
const begun = performance.now();
for (const part of options.parts) await { cycles, kueue, depth }[part](options);
console.log(`\n${f((performance.now() - begun) / 1_000, 0)} s in all.`);
