// The scheduler service as it is deployed (apps/scheduler), in a process of its own, with a wire to the benchmark for
// what no endpoint tells: how long the parts of each decision took, and jobs whose GPU-seconds are held in the ledger.
import { FundRound, ReserveSuites } from '@beamtime/access';
import { IdentityModule } from '@beamtime/identity';
import { loadConfig, newId, PlatformModule, serveHttp, Transactor } from '@beamtime/platform';
import { schedulerSchemas, schedulerServiceModule } from '@beamtime/scheduler-app';
import { RunCycle, SubmitJob, shapeOf } from '@beamtime/scheduling';

const config = loadConfig(process.env);
class Root {
  static register() {
    return {
      module: Root,
      imports: [
        PlatformModule.register({
          service: 'scheduler',
          version: 'bench',
          config,
          schemas: schedulerSchemas,
        }),
        IdentityModule,
        schedulerServiceModule,
      ],
    };
  }
}
const service = await serveHttp(Root.register(), {
  title: 'bench',
  version: 'bench',
  host: '127.0.0.1',
  port: config.PORT,
});
const get = (token) => service.app.get(token, { strict: false });
const transactor = get(Transactor);

// Each cycle as the leader runs it: what it did and how long its parts took, in milliseconds.
const cycle = get(RunCycle);
let cycles = [];
const run = cycle.run.bind(cycle);
cycle.run = async (leadership) => {
  const begun = performance.now();
  const done = await run(leadership);
  cycles.push({ ms: performance.now() - begun, ...done.tookMs, placed: done.place.length });
  return done;
};

const jobsAtOnce = 400;
/** Jobs of a suite whose GPU-seconds are held, by the use case that `POST /suites/:id/train` calls for each cell. */
async function submitHeld({ jobs, template, gpuSecondsHeld, labId }) {
  const [roundId, suiteId] = [newId('Round'), newId('Suite')];
  await transactor.do(async (tx) => {
    const gpuSeconds = jobs * gpuSecondsHeld;
    await get(FundRound).execute(tx, { roundId, pledges: [{ labId, gpuSeconds }] });
    await get(ReserveSuites).execute(tx, { roundId, adopted: [{ suiteId, gpuSeconds }] });
  });
  const submit = get(SubmitJob);
  const job = {
    kind: 'train',
    name: 'bench',
    runner: template,
    inputs: [],
    resources: { gpus: 1, maxSeconds: gpuSecondsHeld, checkpoint: true },
    labId: null,
    suiteId,
    modelId: null,
    studyId: null,
    priority: 0,
    attemptLimit: 3,
    requestKey: null,
    account: { kind: 'suite', suiteId },
    submittedBy: 'bench',
  };
  for (let left = jobs; left > 0; left -= jobsAtOnce) {
    const all = await Promise.all(
      Array.from({ length: Math.min(left, jobsAtOnce) }, () => submit.execute(job)),
    );
    for (const made of all) if (!made.ok) throw new Error(made.error.detail);
  }
  return { suiteId };
}

const answers = {
  submitHeld,
  /** The cycles since the last call. */
  takeCycles: () => {
    const taken = cycles;
    cycles = [];
    return taken;
  },
  /** Each combination with the shape that a submission gives it. */
  shapes: ({ gpus, maxSeconds }) => ({
    shapes: gpus.flatMap((count) =>
      maxSeconds.map((seconds) => ({
        gpus: count,
        maxSeconds: seconds,
        shape: shapeOf({
          kind: 'train',
          gpus: count,
          gpuType: null,
          gpuMemoryMiB: null,
          maxSeconds: seconds,
        }),
      })),
    ),
  }),
};
process.on('message', ({ id, ask, input }) => {
  Promise.resolve()
    .then(() => answers[ask](input))
    .then(
      (value) => process.send({ id, value }),
      (error) => process.send({ id, error: String(error?.stack ?? error) }),
    );
});
let ending = false;
const end = () => {
  if (ending) return;
  ending = true;
  service.close().finally(() => process.exit(0));
};
process.on('SIGTERM', end);
// The benchmark itself ends us; should it be killed, the wire breaks.
process.on('SIGINT', () => undefined);
process.on('disconnect', end);
process.send({ ready: service.url });
