// How long one decision takes, and what it needs of memory, while so many jobs wait: 30 owners with jobs of a dozen
// shapes, a gang that nobody can place at the head of each owner, and agents that finish jobs all the while over HTTP.
// The queue is filled by SQL, since a million submissions over HTTP would take most of an hour.
import { foundCluster, foundLab, template } from './consortium.mjs';

const owners = 30;
const clusters = 20;
const gpusPerCluster = 16;
const rowsPerStatement = 100_000;

export async function prepareDepth(servers, { say }) {
  say('founding labs and clusters');
  const labs = [];
  for (let i = 0; i < owners; i++) labs.push(await foundLab(servers, `depth-${i}`));
  let done = 0;
  const agents = [];
  for (let i = 0; i < clusters; i++) {
    agents.push(
      await foundCluster(servers, labs[i], `depth-${i}`, {
        gpus: gpusPerCluster,
        protocol: 'batch',
        runMs: () => 1_000,
        onDone: () => (done += 1),
        onRefused: () => undefined,
      }),
    );
  }
  return { labs, agents, running: agents.map((agent) => agent.run()), done: () => done, filled: 0 };
}

export async function measureDepth(servers, floor, { depth, seconds, say }) {
  while (floor.filled < depth) {
    const rows = Math.min(rowsPerStatement, depth - floor.filled);
    await fill(servers, floor.labs, floor.filled, rows);
    floor.filled += rows;
    say(`${floor.filled} jobs wait`);
  }
  // What autovacuum and the checkpointer would do within the next minutes, since no queue grows that fast otherwise.
  await servers.maintain('VACUUM (ANALYZE) scheduling.job, scheduling.shadow');
  await servers.maintain('CHECKPOINT');
  await pause(1_000);
  await servers.ask('takeCycles');
  await servers.takeStatements();
  const doneBefore = floor.done();
  const usageBefore = servers.usage();
  await pause(seconds * 1_000);
  const cycles = (await servers.ask('takeCycles')).filter((cycle) => cycle.load !== undefined);
  const row = await servers.transactor.read.row(
    'SELECT sum(jobs)::int AS waiting FROM scheduling.queue_depth',
  );
  const decision = cycles.map((cycle) => cycle.load + cycle.decide + cycle.apply);
  const part = (name) => quantiles(cycles.map((cycle) => cycle[name]));
  const usage = servers.usage();
  const statements = await servers.takeStatements();
  return {
    statements,
    depth: row.waiting,
    decisions: cycles.length,
    placed: cycles.reduce((sum, cycle) => sum + cycle.placed, 0),
    done: floor.done() - doneBefore,
    decision: quantiles(decision),
    load: part('load'),
    decide: part('decide'),
    apply: part('apply'),
    sweep: part('sweep'),
    cpuMsPerDecision:
      (1_000 *
        (usage.service.cpuSeconds +
          usage.postgres.cpuSeconds -
          usageBefore.service.cpuSeconds -
          usageBefore.postgres.cpuSeconds)) /
      Math.max(1, cycles.length),
    servicePeakMiB: usage.service.peakMiB,
    postgresMiB: usage.postgres.shareMiB,
  };
}

export async function endDepth(floor) {
  for (const agent of floor.agents) agent.stop();
  await Promise.race([Promise.allSettled(floor.running), pause(12_000)]);
  for (const agent of floor.agents) agent.close();
}

function quantiles(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (q) => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99), max: sorted.at(-1) ?? Number.NaN };
}

/** Jobs as a submission writes them, with the shape that it computes. */
async function fill(servers, labs, from, rows) {
  const { shapes } = await servers.ask('shapes', {
    gpus: [16, 1, 2, 4, 8],
    maxSeconds: [600, 3_600, 86_400],
  });
  await servers.transactor.read.rows("SELECT set_config('statement_timeout', '0', false)");
  await servers.transactor.do(async (tx) => {
    await tx.rows('SET LOCAL statement_timeout = 0');
    await tx.rows(
      `INSERT INTO scheduling.job (id, kind, name, owner, lab_id, runner, inputs, gpus, max_seconds, checkpointable,
         priority, attempt_limit, submitted_by, shape, submitted_at)
       SELECT 'job_' || lpad(translate(to_hex(n), 'abcdef', 'ghjkmn'), 26, '0'), 'train', 'deep', l.lab, l.lab, $1::jsonb,
         '[]', (s->>'gpus')::int, (s->>'maxSeconds')::int, true, CASE WHEN (s->>'gpus')::int = 16 THEN 10 ELSE 0 END, 3,
         'bench', s->>'shape', now() - interval '1 minute' + n * interval '1 microsecond'
       FROM generate_series($2::int, $2::int + $3::int - 1) AS n,
         LATERAL (SELECT ($4::text[])[1 + n % array_length($4::text[], 1)] AS lab) l,
         LATERAL (SELECT $5::jsonb->((n / array_length($4::text[], 1)) % jsonb_array_length($5::jsonb)) AS s) x`,
      [JSON.stringify(template), from, rows, labs.map((lab) => lab.labId), JSON.stringify(shapes)],
    );
    await tx.rows(
      `INSERT INTO scheduling.shadow (job_id, owner, gpus, submitted_at)
       SELECT j.id, j.owner, j.gpus, j.submitted_at FROM scheduling.job j
       WHERE j.name = 'deep' AND NOT EXISTS (SELECT 1 FROM scheduling.shadow s WHERE s.job_id = j.id)
         AND j.owner IN (SELECT lab_id FROM scheduling.cluster)
         AND j.id >= 'job_' || lpad(translate(to_hex($1::int), 'abcdef', 'ghjkmn'), 26, '0')`,
      [from],
    );
  });
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
