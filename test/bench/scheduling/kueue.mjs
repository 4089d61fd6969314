// Kueue's own load (test/performance/scheduler/configs/baseline/generator.yaml in its repository): 5 cohorts of 6 queues,
// nominal quota 20, borrowing limit 100, in each queue 350 small, 100 medium and 50 large workloads, which arrive one
// by one at the intervals that the file gives. A queue is a lab here, its quota one cluster of 20 GPUs, and a cohort the
// labs that let each other in. Every job is submitted, offered, accepted, reported and ended over HTTP.
import { submitJob } from '@beamtime/contracts';
import { foundCluster, foundLab, jobBody } from './consortium.mjs';

const cohorts = 5;
const queuesPerCohort = 6;
const nominalQuota = 20;
// Kueue's priorities are 50, 100 and 200; ours end at 100.
const classes = [
  { name: 'small', count: 350, intervalMs: 100, gpus: 1, runMs: 200, priority: 25 },
  { name: 'medium', count: 100, intervalMs: 500, gpus: 5, runMs: 500, priority: 50 },
  { name: 'large', count: 50, intervalMs: 1_200, gpus: 20, runMs: 1_000, priority: 100 },
];
/** A run that takes longer is given up. */
const limitSeconds = 300;

export async function measureKueue(servers, { scale = 1, say }) {
  say(`founding ${cohorts * queuesPerCohort} labs with a cluster each`);
  const queues = [];
  for (let cohort = 0; cohort < cohorts; cohort++) {
    const labs = [];
    for (let queue = 0; queue < queuesPerCohort; queue++) {
      labs.push(await foundLab(servers, `cohort-${cohort}-queue-${queue}`));
    }
    const labIds = labs.map((lab) => lab.labId);
    for (const lab of labs) queues.push({ lab, labIds });
  }
  const runMsOf = new Map(classes.map(({ gpus, runMs }) => [gpus, runMs]));
  const submittedAt = new Map();
  const waits = new Map(classes.map(({ gpus }) => [gpus, []]));
  let done = 0;
  const refusals = [];
  let lastDoneAt = 0;
  const agents = [];
  for (const { lab, labIds } of queues) {
    agents.push(
      await foundCluster(servers, lab, lab.name, {
        gpus: nominalQuota,
        labIds,
        protocol: 'batch',
        runMs: (offer) => {
          waits
            .get(offer.resources.gpus)
            .push(performance.now() - (submittedAt.get(offer.jobId) ?? performance.now()));
          return runMsOf.get(offer.resources.gpus);
        },
        onDone: () => {
          done += 1;
          lastDoneAt = performance.now();
        },
        onRefused: (item, why) => refusals.push(`${item.kind}: ${why.code ?? why.message}`),
      }),
    );
  }
  const running = agents.map((agent) => agent.run());
  for (const one of running) one.catch((error) => refusals.push(String(error)));
  const total = queues.length * classes.reduce((sum, { count }) => sum + Math.round(count * scale), 0);
  const usage = servers.usage();
  const begun = performance.now();
  let submitted = 0;
  let submittedLastAt = 0;
  const arrivals = queues.flatMap(({ lab }) =>
    classes.map(async (one) => {
      const calls = [];
      for (let i = 0; i < Math.round(one.count * scale); i++) {
        await sleepUntil(begun + (i + 1) * one.intervalMs);
        const at = performance.now();
        calls.push(
          lab.client.call(submitJob, { body: jobBody(lab.labId, one) }, 120_000).then(
            (job) => {
              submittedAt.set(job.jobId, at);
              submitted += 1;
              submittedLastAt = performance.now();
            },
            (error) => refusals.push(String(error)),
          ),
        );
      }
      await Promise.all(calls);
    }),
  );
  const allSubmitted = Promise.all(arrivals);
  allSubmitted.catch((error) => refusals.push(String(error)));
  while (done < total && performance.now() - begun < limitSeconds * 1_000) {
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    say(
      `${((performance.now() - begun) / 1_000).toFixed(0)} s: ${submitted} submitted, ${done} of ${total} done`,
    );
  }
  await Promise.race([allSubmitted, new Promise((resolve) => setTimeout(resolve, 5_000))]).catch(
    () => undefined,
  );
  for (const agent of agents) agent.stop();
  const after = servers.usage();
  const cycles = await servers.ask('takeCycles');
  await Promise.race([Promise.allSettled(running), new Promise((resolve) => setTimeout(resolve, 12_000))]);
  for (const agent of agents) agent.close();
  for (const { lab } of queues) lab.client.close();
  const state = await servers.transactor.read.rows(
    `SELECT state, count(*)::int AS jobs, max(attempts) AS attempts FROM scheduling.job GROUP BY state`,
  );
  return {
    makespan: (lastDoneAt - begun) / 1_000,
    submittedWithin: (submittedLastAt - begun) / 1_000,
    done,
    total,
    state,
    refusals: refusals.length,
    firstRefusals: refusals.slice(0, 3),
    waits: classes.map(({ name, gpus }) => ({ name, mean: mean(waits.get(gpus)) / 1_000 })),
    cycles: cycles.length,
    serviceCpu: after.service.cpuSeconds - usage.service.cpuSeconds,
    postgresCpu: after.postgres.cpuSeconds - usage.postgres.cpuSeconds,
  };
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);

function sleepUntil(atMs) {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, atMs - performance.now())));
}
