// Durable start + finish cycles per second. One cycle: the leader offers a waiting job, its agent accepts over HTTP,
// reports running and then succeeded; counted when the answer to the last report is there, which follows a commit with
// synchronous_commit and fsync on. Each job has its GPU-seconds held in the ledger, and settled in that commit.
import { submitJob } from '@beamtime/contracts';
import { foundCluster, foundLab, jobBody, template } from './consortium.mjs';

const clusters = 20;
const gpusPerCluster = 40;
/** So many cycles pass before the count begins. */
const warmUpCycles = 300;
const warmUpSecondsMost = 20;

export async function measureCycles(servers, { seconds, protocol, jobs, say }) {
  const lab = await foundLab(servers, `cycles-${protocol}`);
  let done = 0;
  let refused = 0;
  const agents = [];
  const options = {
    gpus: gpusPerCluster,
    protocol,
    runMs: () => 0,
    onDone: () => (done += 1),
    onRefused: (item, why) => {
      refused += 1;
      if (refused < 5) say(`refused ${item.kind}: ${why.message ?? why.detail}`);
    },
  };
  for (let i = 0; i < clusters; i++) {
    agents.push(await foundCluster(servers, lab, `cycles-${protocol}-${i}`, options));
  }
  say(`putting ${jobs} jobs with held GPU-seconds into the queue`);
  const { suiteId } = await servers.ask('submitHeld', {
    jobs,
    template,
    gpuSecondsHeld: 60,
    labId: lab.labId,
  });
  // They have been silent meanwhile; the same process again keeps its incarnation.
  for (const agent of agents) await agent.register();
  const running = agents.map((agent) => agent.run());
  for (const one of running) one.catch(() => undefined);
  // Until work flows: the leader has to see the clusters and make its first offers.
  for (let waited = 0; done < warmUpCycles && waited < warmUpSecondsMost; waited++) await sleep(1);
  await servers.takeStatements();
  const before = await snapshot(servers, done);
  await servers.ask('takeCycles');
  for (let second = 0; second < seconds && done < jobs; second++) {
    await sleep(1);
    say(`${done} cycles`);
  }
  const after = await snapshot(servers, done);
  const cycles = await servers.ask('takeCycles');
  const statements = await servers.takeStatements();
  for (const agent of agents) agent.stop();
  const wall = (after.atMs - before.atMs) / 1_000;
  const count = after.done - before.done;
  const settled = await servers.transactor.read.row(
    `SELECT count(*)::int AS settled FROM access.hold h JOIN scheduling.job j ON h.id = 'job/' || j.id
     WHERE j.suite_id = $1 AND j.state = 'succeeded' AND h.state = 'posted'`,
    [suiteId],
  );
  await Promise.race([Promise.allSettled(running), sleep(12)]);
  for (const agent of agents) agent.close();
  return {
    protocol,
    perSecond: count / wall,
    count,
    wall,
    refused,
    settled: settled.settled,
    serviceMsPerCycle: (1_000 * (after.usage.service.cpuSeconds - before.usage.service.cpuSeconds)) / count,
    postgresMsPerCycle:
      (1_000 * (after.usage.postgres.cpuSeconds - before.usage.postgres.cpuSeconds)) / count,
    commitsPerCycle: (after.commits - before.commits) / count,
    agentsMsPerCycle: (1_000 * (after.usage.agents.cpuSeconds - before.usage.agents.cpuSeconds)) / count,
    decisionsPerSecond: cycles.length / wall,
    decisionParts: Object.fromEntries(
      ['sweep', 'load', 'decide', 'apply', 'placed'].map((part) => [
        part,
        cycles.reduce((sum, cycle) => sum + cycle[part], 0) / cycles.length,
      ]),
    ),
    statements,
  };
}

/** One HTTP call, one job, `parallel` at a time. */
export async function measureSubmissions(servers, { jobs, parallel, say }) {
  const lab = await foundLab(servers, 'submit');
  const agent = await foundCluster(servers, lab, 'submit', { gpus: 8, protocol: 'batch' });
  // Drained, so that only the submission is measured.
  agent.close();
  let next = 0;
  let answered = 0;
  const usage = servers.usage();
  const begun = performance.now();
  await Promise.all(
    Array.from({ length: parallel }, async () => {
      while (next < jobs) {
        next += 1;
        await lab.client.call(submitJob, { body: jobBody(lab.labId, { gpus: 1 }) });
        answered += 1;
        if (answered % 500 === 0) say(`${answered} submissions`);
      }
    }),
  );
  const wall = (performance.now() - begun) / 1_000;
  const after = servers.usage();
  return {
    perSecond: jobs / wall,
    count: jobs,
    wall,
    serviceMs: (1_000 * (after.service.cpuSeconds - usage.service.cpuSeconds)) / jobs,
    postgresMs: (1_000 * (after.postgres.cpuSeconds - usage.postgres.cpuSeconds)) / jobs,
  };
}

async function snapshot(servers, done) {
  const row = await servers.transactor.read.row(
    'SELECT xact_commit AS commits FROM pg_stat_database WHERE datname = current_database()',
  );
  return { atMs: performance.now(), done, usage: servers.usage(), commits: Number(row.commits) };
}

const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
