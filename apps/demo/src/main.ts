import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createApiClient, lendToOperations } from '@beamtime/contracts';
import { type Child, endChild, startChild } from './child-process.js';
import { type Checked, CheckFailed, createNarrator, duration } from './narrate.js';
import { renderReport } from './render-report.js';
import { endSlurm, requireSlurm, SlurmMissing } from './slurm-clusters.js';
import { checkTheBooks } from './steps/check-books.js';
import { decideRound } from './steps/decide-round.js';
import { foundConsortium } from './steps/found-consortium.js';
import { grantAccess } from './steps/grant-access.js';
import { runStudy } from './steps/run-study.js';
import { showCatalogue } from './steps/show-catalogue.js';
import { startClusters, trainWithFault } from './steps/train-suite.js';
import { uploadCorpora } from './steps/upload-corpora.js';
import { useModels } from './steps/use-models.js';
import type { DemoOptions, World } from './world.js';

const help = `npm run demo -- [options]

The whole life cycle of a Beamtime consortium on this machine, through the public HTTP API:
three labs, a vote, training on two clusters through a real fault, access, use, a study.

  --corpus DIR      train on your own text: one UTF-8 file per language, named deu.txt, srp-Cyrl.txt, …
  --steps N         training steps per model (default 128)
  --executor NAME   how the clusters run jobs: local (default), or slurm: two real Slurm clusters on this machine,
                    brought up and taken down again (infra/slurm; needs slurm-wlm and munge, on Debian as root
                    they are installed)
  --help            this text

BEAMTIME_LEASE_TTL_MS (6000) may be set higher on a machine that is busy with other things.
Writes .beamtime/demo/report.html and report.json. Ctrl-C ends everything that it started.`;

/** As a shell says that Ctrl-C ended a program. */
const interruptedExitCode = 130;
/** Leases are short, so that a fault costs the demo seconds; on a machine busy with other things they may lapse. */
const leaseTtlMs = process.env['BEAMTIME_LEASE_TTL_MS'] ?? '6000';
const facilityStartTimeoutMs = 120_000;
/** Evaluations and served models hold their time bound: this covers a dozen of each. */
const operationsGpuSeconds = 500_000;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      corpus: { type: 'string' },
      steps: { type: 'string', default: '128' },
      executor: { type: 'string', default: 'local' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(`${help}\n`);
    return 0;
  }
  const options = optionsOf(values);
  const steps = Number(values.steps);
  if (!Number.isInteger(steps) || steps < 20 || steps > 100_000)
    throw new UsageError('--steps is a whole number from 20 to 100000');
  if (options.executor === 'slurm') await requireSlurm(options);
  const children: Child[] = [];
  const checks: Checked[] = [];
  const narrator = createNarrator(process.stdout, checks);
  let ending = false;
  let interrupted: Promise<number> | undefined;
  const endAll = async () => {
    ending = true;
    for (const child of children.splice(0).reverse()) await endChild(child);
    if (options.executor === 'slurm') await endSlurm(options);
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (ending) return;
      process.stdout.write('\nEnding what the demo started …\n');
      interrupted = endAll().then(() => interruptedExitCode);
      interrupted.then(
        (code) => process.exit(code),
        () => process.exit(1),
      );
    });
  }
  const startedMs = Date.now();
  try {
    const facility = await startFacility(options, children);
    narrator.say(`Beamtime runs at ${facility.url} (status page; API at ${facility.url}/docs)`);
    const runName = new Date(startedMs).toISOString().replace(/\D/g, '').slice(4, 14);
    const api = createApiClient(facility.url);
    const { secretariat, labs } = await foundConsortium(api, facility.loginSecret, runName, narrator);
    const report: Record<string, unknown> = {
      run: runName,
      startedAt: new Date(startedMs).toISOString(),
      steps,
    };
    const world: World = {
      options,
      narrator,
      checks,
      runName,
      api,
      facilityUrl: facility.url,
      secretariat,
      labs,
      clusters: [],
      report,
    };
    await live(world, steps, children);
    const seconds = (Date.now() - startedMs) / 1000;
    report['seconds'] = seconds;
    report['checks'] = checks;
    writeFileSync(join(options.demoDir, 'report.json'), `${JSON.stringify(report, null, 2)}\n`);
    writeFileSync(
      join(options.demoDir, 'report.html'),
      renderReport(report, checks, readFileSync(join(options.demoDir, 'figure.svg'), 'utf8')),
    );
    narrator.chapter('Summary');
    narrator.fact('checks that hold', String(checks.length));
    narrator.fact('time', duration(seconds));
    narrator.fact('the story as a page', join(options.demoDir, 'report.html'));
    narrator.fact('every figure and id', join(options.demoDir, 'report.json'));
    return 0;
  } catch (error) {
    // Whatever failed because its server is being ended is not the story; the end is, and it takes its time.
    if (interrupted !== undefined) return await interrupted;
    throw error;
  } finally {
    if (!ending) await endAll();
  }
}

/** One life cycle, from pledges to a figure. */
async function live(world: World, steps: number, children: Child[]): Promise<void> {
  const corpora = await uploadCorpora(world);
  const round = await decideRound(world, corpora, steps);
  await startClusters(world);
  // The agents are ended through the world's own list: one of them is replaced on the way.
  children.push(...world.clusters.map((c) => childOf(() => c.agent)));
  const [lender] = world.labs;
  if (lender === undefined) throw new Error('the demo has labs');
  await lender.delegate.api.call(lendToOperations, {
    body: {
      loanId: `demo-${world.runName}`,
      labId: lender.labId,
      gpuSeconds: operationsGpuSeconds,
      reason: 'Serving and evaluating in the demo',
    },
  });
  const fault = await trainWithFault(world, round.suiteId, steps);
  const models = await showCatalogue(world, round.suiteId, fault);
  const access = await grantAccess(world, round.suiteId);
  const model = models.find((m) => m.factors.language === corpora.languages[0]?.language) ?? models[0];
  if (model === undefined) throw new Error('the suite has models');
  const prompt = corpora.languages[0]?.language === 'deu' ? 'Der Typ "{0}" ist' : 'The ';
  const used = await useModels(world, access, round.suiteId, {
    name: model.name,
    revision: `step${model.lastStep ?? 0}`,
    prompt,
  });
  const study = await runStudy(world, round.suiteId, corpora);
  await checkTheBooks(world, round.suiteId, [
    { what: 'ballot', id: round.ballotId },
    { what: 'round (its certificate)', id: round.roundId },
    { what: 'proposal', id: round.proposalId },
    { what: 'suite', id: round.suiteId },
    { what: 'training job', id: study.trainingJobId },
    { what: 'model', id: study.modelId },
    { what: 'application', id: access.applicationId },
    { what: 'allocation', id: access.allocationId },
    { what: 'request', id: used.requestId },
    { what: 'capture', id: used.captureId },
    { what: 'evaluation job', id: study.evaluationJobId },
    { what: 'study', id: study.studyId },
    { what: 'figure', id: study.figurePath },
  ]);
}

/** A child that may be replaced while the demo runs. */
function childOf(current: () => Child): Child {
  return {
    get name() {
      return current().name;
    },
    get process() {
      return current().process;
    },
    get logPath() {
      return current().logPath;
    },
    get ended() {
      return current().ended;
    },
  };
}

class UsageError extends Error {}

const repositoryDir = fileURLToPath(new URL('../../..', import.meta.url));

/** Where the demo keeps its state, logs and report. */
function demoDirOf(): string {
  return resolve(repositoryDir, process.env['BEAMTIME_STATE_DIR'] ?? '.beamtime', 'demo');
}

function optionsOf(values: { corpus?: string | undefined; executor: string }): DemoOptions {
  if (values.executor !== 'local' && values.executor !== 'slurm')
    throw new UsageError('--executor is local or slurm');
  const demoDir = demoDirOf();
  return { corpusDir: values.corpus, executor: values.executor, demoDir, repositoryDir };
}

/** Starts the facility as `npm start` does, in a state folder of the demo's own, and waits until it answers. */
async function startFacility(
  options: DemoOptions,
  children: Child[],
): Promise<{ url: string; loginSecret: string }> {
  const { demoDir, repositoryDir } = options;
  mkdirSync(join(demoDir, 'logs'), { recursive: true });
  rmSync(join(demoDir, 'clusters'), { recursive: true, force: true });
  const stateDir = join(demoDir, 'facility');
  const addressFile = join(stateDir, 'facility.json');
  rmSync(addressFile, { force: true });
  const env = { ...process.env, BEAMTIME_STATE_DIR: stateDir, BEAMTIME_LEASE_TTL_MS: leaseTtlMs };
  const facility = startChild(
    'facility',
    [join(repositoryDir, 'apps/facility/dist/main.js')],
    env,
    join(demoDir, 'logs', 'facility.log'),
  );
  children.push(facility);
  let ended: number | null | undefined;
  void facility.ended.then((code) => {
    ended = code;
  });
  const deadlineMs = Date.now() + facilityStartTimeoutMs;
  while (!existsSync(addressFile)) {
    if (ended !== undefined)
      throw new Error(`the facility did not start (exit code ${ended}); see ${facility.logPath}`);
    if (Date.now() > deadlineMs) throw new Error(`the facility does not answer; see ${facility.logPath}`);
    await new Promise((done) => setTimeout(done, 100));
  }
  const { url } = JSON.parse(readFileSync(addressFile, 'utf8')) as { url: string };
  return { url, loginSecret: readFileSync(join(stateDir, 'local-login-secret'), 'utf8').trim() };
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    const known =
      error instanceof CheckFailed || error instanceof UsageError || error instanceof SlurmMissing;
    process.stderr.write(
      `\n${error instanceof CheckFailed ? '✘ ' : ''}${known ? error.message : String((error as Error).stack ?? error)}\n`,
    );
    if (!(error instanceof UsageError))
      process.stderr.write(`The logs are in ${join(demoDirOf(), 'logs')}\n`);
    process.exit(error instanceof UsageError ? 2 : 1);
  },
);
