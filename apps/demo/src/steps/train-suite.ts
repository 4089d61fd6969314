import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type JobStreamMessage,
  type JobView,
  listClusters,
  listJobs,
  registerCluster,
  reportAttempt,
  showJob,
  trainSuite,
} from '@beamtime/contracts';
import { killTree, startChild } from '../child-process.js';
import { duration, type Progress } from '../narrate.js';
import { followJobs } from '../read-events.js';
import { startSlurm } from '../slurm-clusters.js';
import type { DemoCluster, Fault, World } from '../world.js';
import { problemOf } from './decide-round.js';
import { submitControl } from './show-catalogue.js';

const trainingTimeoutMs = 600_000;
/** Lease and skew, a cycle, and the start of the program, on a machine that may be busy. */
const recoveryTimeoutMs = Math.max(90_000, 10 * Number(process.env['BEAMTIME_LEASE_TTL_MS'] ?? 0));
const pollMs = 400;
/** The agent is killed when one of its jobs is this far: late enough to have something to lose. */
const killBetween = [0.25, 0.85] as const;
/** Models trained or evaluated at the same time on each cluster. */
const slotsPerCluster = 2;

/** Registers a cluster for each of two labs and starts an agent process beside it. */
export async function startClusters(world: World): Promise<void> {
  const { narrator, options } = world;
  narrator.chapter('Two labs bring a cluster each');
  const slurm = options.executor === 'slurm' ? await startSlurm(options) : undefined;
  for (const [i, lab] of world.labs.slice(0, 2).entries()) {
    const slurmConf = slurm?.[i]?.conf;
    const name = `${lab.slug}-cluster`.slice(0, 40);
    const { cluster, agentKey } = await lab.operator.api.call(registerCluster, {
      body: { labId: lab.labId, name },
    });
    const folder = join(options.demoDir, 'clusters', name);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'agent.key'), agentKey, { mode: 0o600 });
    const configPath = join(folder, 'agent.yaml');
    writeFileSync(
      configPath,
      [
        `facility: ${world.facilityUrl}`,
        'keyFile: agent.key',
        'stateDir: state',
        // With Slurm, what there is is Slurm's to say.
        ...(slurmConf === undefined
          ? [`gpus: { count: ${slotsPerCluster}, type: cpu }`]
          : ['executor:', '  slurm:', `    conf: ${JSON.stringify(slurmConf)}`, '    pollSeconds: 0.5']),
        'runner:',
        `  command: [${JSON.stringify(join(options.repositoryDir, '.beamtime/venv/bin/python'))}, -m, beamtime_runner]`,
        '',
      ].join('\n'),
    );
    const agent = startAgent(world, name, configPath);
    world.clusters.push({ clusterId: cluster.clusterId, name, lab, configPath, agent });
    const executor = slurmConf === undefined ? '' : `, Slurm ${slurm?.[i]?.name} (SLURM_CONF=${slurmConf})`;
    narrator.fact(
      lab.name,
      `${name}, ${slotsPerCluster} slots, agent pid ${agent.process.pid ?? '?'}${executor}`,
    );
  }
  const refused = startChild(
    'impostor',
    [join(options.repositoryDir, 'apps/agent/dist/main.js'), '--config', impostorConfig(world)],
    process.env,
    join(options.demoDir, 'logs', 'impostor.log'),
  );
  await awaitClusters(world);
  const code = await Promise.race([
    refused.ended,
    new Promise<'still running'>((resolve) => setTimeout(resolve, 10_000, 'still running')),
  ]);
  if (code === 'still running') refused.process.kill('SIGKILL');
  narrator.check(
    'an agent with a wrong key does not get in',
    code !== 0 && code !== 'still running',
    `exit code ${code}`,
  );
  world.report['clusters'] = world.clusters.map((c) => ({
    clusterId: c.clusterId,
    name: c.name,
    lab: c.lab.name,
  }));
}

function impostorConfig(world: World): string {
  const folder = join(world.options.demoDir, 'clusters', 'impostor');
  mkdirSync(folder, { recursive: true });
  const path = join(folder, 'agent.yaml');
  writeFileSync(
    path,
    `facility: ${world.facilityUrl}\nkey: bta_${'x'.repeat(43)}\nstateDir: state\ngpus: { count: 1 }\n`,
  );
  return path;
}

function startAgent(world: World, name: string, configPath: string) {
  const { demoDir, repositoryDir } = world.options;
  return startChild(
    name,
    [join(repositoryDir, 'apps/agent/dist/main.js'), '--config', configPath],
    process.env,
    join(demoDir, 'logs', `${name}.log`),
  );
}

async function awaitClusters(world: World): Promise<void> {
  const deadlineMs = Date.now() + 30_000;
  for (;;) {
    const { items } = await world.api.call(listClusters, {});
    const ours = items.filter((c) => world.clusters.some((own) => own.clusterId === c.clusterId));
    if (
      ours.length === world.clusters.length &&
      ours.every((c) => c.state === 'active' && c.inventory !== null)
    )
      return;
    if (Date.now() > deadlineMs) throw new Error('the agents did not register; see the logs');
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/** Trains the adopted suite on both clusters, and kills one of the agents on the way. */
export async function trainWithFault(world: World, suiteId: string, steps: number): Promise<Fault> {
  const { narrator } = world;
  narrator.chapter('Training on both clusters, through a real fault');
  const starter = world.labs[0]?.researcher;
  if (starter === undefined) throw new Error('a lab has a researcher');
  const { jobs } = await starter.api.call(trainSuite, { params: { suiteId }, body: { threads: 1 } });
  narrator.fact('jobs submitted', String(jobs.length));
  const view = new JobBoard(steps);
  const stop = new AbortController();
  const following = followJobs(starter.api, suiteId, (message) => view.take(message), stop.signal);
  const progress = narrator.progress('training');
  const startedMs = Date.now();
  let fault: Promise<Fault> | undefined;
  let faultFailed: Error | undefined;
  try {
    for (;;) {
      const page = await starter.api.call(listJobs, { query: { suiteId, limit: 500 } });
      const training = page.items.filter((j) => j.kind === 'train');
      view.show(progress, training);
      const failed = training.find((j) => j.state === 'failed' || j.state === 'cancelled');
      if (failed !== undefined) throw new Error(`${failed.name} ${failed.state}: ${failed.reason ?? ''}`);
      fault ??=
        victimOf(training, world.clusters, steps) === undefined
          ? undefined
          : breakAndRecover(world, training, steps);
      // Awaited below; a failure before that ends the loop as soon as it is seen, and in order.
      fault?.catch((error: unknown) => {
        faultFailed = error as Error;
      });
      if (faultFailed !== undefined) throw faultFailed;
      if (training.length > 0 && training.every((j) => j.state === 'succeeded')) break;
      if (Date.now() - startedMs > trainingTimeoutMs)
        throw new Error('the training takes too long; see the logs');
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  } finally {
    stop.abort();
    await following;
  }
  const seconds = (Date.now() - startedMs) / 1000;
  progress.done(`${jobs.length} models in ${duration(seconds)}`);
  if (fault === undefined) throw new Error('the training ended before a fault could be made');
  const recovered = await fault;
  await reportTraining(world, starter.api, suiteId, seconds, view, recovered);
  return recovered;
}

function victimOf(
  jobs: readonly JobView[],
  clusters: readonly DemoCluster[],
  steps: number,
): JobView | undefined {
  const target = clusters[1];
  return jobs.find(
    (j) =>
      j.state === 'running' &&
      j.attemptState === 'running' &&
      j.clusterId === target?.clusterId &&
      (j.resumableStep ?? 0) > 0 &&
      trainedFraction(j, steps) >= killBetween[0] &&
      trainedFraction(j, steps) <= killBetween[1],
  );
}

/** Kills the second cluster's agent with everything it runs; its attempts must move and go on. */
async function breakAndRecover(world: World, jobs: readonly JobView[], steps: number): Promise<Fault> {
  const { narrator } = world;
  const cluster = world.clusters[1] as DemoCluster;
  const job = victimOf(jobs, world.clusters, steps) as JobView;
  const attempt = job.attempts;
  const incarnation =
    (await world.api.call(listClusters, {})).items.find((c) => c.clusterId === cluster.clusterId)
      ?.incarnation ?? 1;
  const killedAtMs = Date.now();
  const pids = await killTree(cluster.agent);
  narrator.say('');
  narrator.say(
    `⚡ SIGKILL to the agent of ${cluster.name} and its children (${pids.length} processes), ${job.name} at step ${job.progress?.step ?? '?'}`,
  );
  const deadlineMs = killedAtMs + recoveryTimeoutMs;
  const starter = world.labs[0]?.researcher.api ?? world.api;
  for (;;) {
    const now = await starter.call(showJob, { params: { jobId: job.jobId } });
    const next = now.history.find(
      (a) =>
        a.attempt > attempt && (a.state === 'running' || a.state === 'finalizing' || a.state === 'succeeded'),
    );
    if (next !== undefined) {
      const recoverySeconds = (Date.now() - killedAtMs) / 1000;
      const lost = now.history.find((a) => a.attempt === attempt);
      narrator.check(
        'the lease ran out and the attempt was given up',
        lost?.state === 'lost',
        `attempt ${attempt} on ${lost?.clusterName ?? '?'}: ${lost?.state ?? '?'}`,
      );
      narrator.check(
        'the job was leased again and goes on from its last checkpoint',
        next.resumedFromStep !== null,
        `attempt ${next.attempt} on ${next.clusterName} from step ${next.resumedFromStep ?? 0}, ${recoverySeconds.toFixed(1)} s after the kill`,
      );
      await refuseTheDead(world, cluster, job.jobId, attempt, incarnation);
      const controlJobId = await submitControl(world, now);
      return {
        controlJobId,
        job: now,
        clusterName: cluster.name,
        attempt,
        resumedFromStep: next.resumedFromStep,
        recoverySeconds,
      };
    }
    if (Date.now() > deadlineMs)
      throw new Error(`${job.name} was not resumed: ${now.state}, ${now.reason ?? ''}`);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/** Starts the agent again; neither its old self nor its new one may speak for the old attempt. */
async function refuseTheDead(
  world: World,
  cluster: DemoCluster,
  jobId: string,
  attempt: number,
  incarnation: number,
): Promise<void> {
  cluster.agent = startAgent(world, cluster.name, cluster.configPath);
  const key = readFileSync(join(world.options.demoDir, 'clusters', cluster.name, 'agent.key'), 'utf8').trim();
  const agentApi = world.api.as(key);
  const report = (as: number) =>
    problemOf(
      agentApi.call(reportAttempt, {
        params: { jobId, attempt },
        body: { incarnation: as, state: 'succeeded', reason: 'I was dead, but I finished it' },
      }),
    );
  const deadlineMs = Date.now() + 30_000;
  let current = incarnation;
  while (current === incarnation && Date.now() < deadlineMs) {
    await new Promise((resolve) => setTimeout(resolve, pollMs));
    current =
      (await world.api.call(listClusters, {})).items.find((c) => c.clusterId === cluster.clusterId)
        ?.incarnation ?? incarnation;
  }
  const old = await report(incarnation);
  const fresh = await report(current);
  world.narrator.check(
    'the dead agent, started again, may not report on its old attempt',
    old === 'scheduling.agent-superseded' && fresh === 'scheduling.attempt-fenced',
    `${old}; ${fresh}`,
  );
}

async function reportTraining(
  world: World,
  api: World['api'],
  suiteId: string,
  seconds: number,
  view: JobBoard,
  fault: Fault,
): Promise<void> {
  const page = await api.call(listJobs, { query: { suiteId, limit: 500 } });
  const training = page.items.filter((j) => j.kind === 'train').sort((a, b) => (a.name < b.name ? -1 : 1));
  world.narrator.table(
    ['model', 'cluster', 'attempts', 'checkpoints', 'loss'],
    training.map((j) => [
      j.name,
      j.clusterName ?? '',
      String(j.attempts),
      String(j.checkpoints),
      j.progress?.loss?.toFixed(3) ?? view.lossOf(j.jobId),
    ]),
  );
  const used = new Set(training.map((j) => j.clusterId));
  world.narrator.check('the jobs ran on both clusters', used.size === 2);
  world.narrator.fact('live loss values received', String(view.points));
  world.report['training'] = {
    seconds,
    livePoints: view.points,
    jobs: training,
    fault: { ...fault, job: fault.job.jobId },
  };
}

/** What the live stream has told of each job. */
class JobBoard {
  points = 0;
  private readonly latest = new Map<string, { step: number; loss: number }>();

  constructor(private readonly steps: number) {}

  take(message: JobStreamMessage): void {
    if (message.type !== 'job') return;
    const { step, loss } = message.job.progress ?? {};
    if (typeof step !== 'number' || typeof loss !== 'number') return;
    if (this.latest.get(message.job.jobId)?.step === step) return;
    this.points += 1;
    this.latest.set(message.job.jobId, { step, loss });
  }

  lossOf(jobId: string): string {
    return this.latest.get(jobId)?.loss.toFixed(2) ?? '';
  }

  show(progress: Progress, jobs: readonly JobView[]): void {
    const done = jobs.filter((j) => j.state === 'succeeded').length;
    const sum = jobs.reduce(
      (total, j) => total + (j.state === 'succeeded' ? 1 : trainedFraction(j, this.steps)),
      0,
    );
    const running = jobs
      .filter((j) => j.state === 'running')
      .map((j) => `${j.name.split('-').slice(-3).join('-')} ${this.lossOf(j.jobId) || '…'}`);
    progress.update(sum / Math.max(1, jobs.length), `${done} done; loss of ${running.join(', ')}`);
  }
}

/** How far a training is by its steps: its progress report also counts tokenisation and the rest as phases. */
function trainedFraction(job: JobView, steps: number): number {
  return job.state === 'running' ? Math.min(1, (job.progress?.step ?? 0) / steps) : 0;
}
