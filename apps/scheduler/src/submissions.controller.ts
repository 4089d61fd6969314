import { PlanJobs, type PlannedJob } from '@beamtime/catalogue';
import {
  type BodyOf,
  evaluateModel,
  evaluateSuite,
  type InputOf,
  type JobResources,
  type JobView,
  type ProblemCode,
  type ResponseOf,
  serveModel,
  submitJob,
  trainSuite,
} from '@beamtime/contracts';
import { err, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import {
  deny,
  Endpoint,
  Input,
  labsOf,
  Person,
  type PersonPrincipal,
  Transactor,
  type Tx,
  unwrap,
} from '@beamtime/platform';
import { JobViews, SubmitJob, type SubmittedJob } from '@beamtime/scheduling';
import { Controller, Inject } from '@nestjs/common';
import { evaluationPlanOf, submitPlanned } from './submit-planned.js';

type Submitted = ResponseOf<typeof trainSuite>;
type SubmittedOne = Submitted['jobs'][number];
type Refused = Problem<ProblemCode>;

/** Everything by which people put jobs into the queue: joins what the catalogue plans with the scheduler. */
@Controller()
export class SubmissionsController {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(PlanJobs) private readonly plan: PlanJobs,
    @Inject(SubmitJob) private readonly submit: SubmitJob,
    @Inject(JobViews) private readonly jobs: JobViews,
  ) {}

  @Endpoint(submitJob)
  async submitOne(
    @Input() input: InputOf<typeof submitJob>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof submitJob>> {
    const { body } = input;
    if (!(labsOf(caller) as string[]).includes(body.labId)) {
      deny('auth.forbidden', `You do not belong to ${body.labId}; submit for a lab of yours`);
    }
    const inputs = unwrap(await this.plan.inputs(body.inputs));
    const kind = body.runner['kind'] as JobView['kind'];
    const submitted = unwrap(
      await this.submit.execute({
        kind,
        name: body.name ?? `${kind} of ${caller.name}`,
        runner: body.runner,
        inputs,
        resources: body.resources,
        labId: body.labId,
        suiteId: null,
        modelId: null,
        studyId: null,
        priority: body.priority,
        attemptLimit: body.attemptLimit,
        // Two people who choose the same key mean two jobs.
        requestKey: body.requestKey === undefined ? null : `${caller.personId}/${body.requestKey}`,
        // A lab is not charged for work on its own share; the time bound still binds.
        account: null,
        after: body.after,
        deadlineMs: body.deadline === undefined ? null : Date.parse(body.deadline),
        submittedBy: caller.personId,
      }),
    );
    return (await this.jobs.findTogether(submitted.jobId)) ?? deny('resource.not-found', 'The job is gone');
  }

  /** All jobs of a suite or none: one transaction, so a reservation that covers only half refuses the whole. */
  @Endpoint(trainSuite)
  async train(
    @Input() input: InputOf<typeof trainSuite>,
    @Person() caller: PersonPrincipal,
  ): Promise<Submitted> {
    const { suiteId } = input.params;
    const { attemptLimit, threads } = input.body;
    const made = unwrap(
      await this.transactor.run(async (tx): Promise<Result<Map<string, SubmittedJob>, Refused>> => {
        const planned = await this.plan.training(suiteId, { threads }, tx);
        if (!planned.ok) return planned;
        const submitted = new Map<string, SubmittedJob>();
        for (const job of planned.value) {
          // A model whose training ended without success may be trained again, under a new key.
          const one = await submitPlanned(
            this.submit,
            job,
            {
              kind: 'train',
              account: job.isReserved ? { kind: 'suite', suiteId } : { kind: 'operations' },
              attemptLimit,
              requestKey: `train/${job.modelId}/${await this.jobs.countEnded(tx, job.modelId, 'train')}`,
              submittedBy: caller.personId,
            },
            tx,
          );
          if (!one.ok) return err(explainShortfall(one.error, planned.value.length));
          submitted.set(job.modelId, one.value);
        }
        return ok(submitted);
      }),
    );
    const known = await this.jobs.list({ suiteId: suiteId as never, kind: 'train', limit: 500 });
    const jobs = new Map<string, Submitted['jobs'][number]>(
      known.items.map((job) => [job.jobId, { jobId: job.jobId, modelId: job.modelId, created: false }]),
    );
    for (const [modelId, { jobId, created }] of made) {
      jobs.set(jobId, { jobId, modelId: modelId as never, created });
    }
    return { jobs: [...jobs.values()].reverse() };
  }

  @Endpoint(evaluateModel)
  async evaluate(
    @Input() input: InputOf<typeof evaluateModel>,
    @Person() caller: PersonPrincipal,
  ): Promise<Submitted> {
    const { requestKey } = input.body;
    const { modelId } = input.params;
    return {
      jobs: [
        unwrap(
          await this.evaluateOne(modelId, input.body, {
            requestKey: requestKey === undefined ? null : `${caller.personId}/${requestKey}`,
            submittedBy: caller.personId,
          }),
        ),
      ],
    };
  }

  /** One job for each model, in one transaction. */
  @Endpoint(evaluateSuite)
  async evaluateAll(
    @Input() input: InputOf<typeof evaluateSuite>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof evaluateSuite>> {
    const { requestKey } = input.body;
    const body = { ...input.body, whenTrained: true };
    const { modelIds, leftOut } = unwrap(
      await this.plan.evaluable(input.params.suiteId, evaluationPlanOf(body)),
    );
    const jobs = unwrap(
      await this.transactor.run(async (tx): Promise<Result<SubmittedOne[], Refused>> => {
        const submitted: SubmittedOne[] = [];
        for (const modelId of modelIds) {
          const one = await this.evaluateOne(
            modelId,
            body,
            {
              requestKey: requestKey === undefined ? null : `${caller.personId}/${requestKey}/${modelId}`,
              submittedBy: caller.personId,
            },
            tx,
          );
          if (!one.ok) return one;
          submitted.push(one.value);
        }
        return ok(submitted);
      }),
    );
    return { jobs, leftOut: leftOut.map((one) => ({ ...one, modelId: one.modelId as never })) };
  }

  private async evaluateOne(
    modelId: string,
    body: BodyOf<typeof evaluateModel>,
    by: { readonly requestKey: string | null; readonly submittedBy: string },
    tx?: Tx,
  ): Promise<Result<SubmittedOne, Refused>> {
    const wanted = evaluationPlanOf(body);
    const toCome = body.whenTrained ? await this.plan.evaluationToCome(modelId, wanted, tx) : ok(null);
    if (!toCome.ok) return toCome;
    const planned =
      toCome.value === null ? await this.plan.evaluation(modelId, wanted, tx) : ok(toCome.value);
    if (!planned.ok) return planned;
    const training = toCome.value === null ? null : await this.trainingOf(planned.value);
    if (training !== null && !training.ok) return training;
    const submitted = await submitPlanned(
      this.submit,
      { ...planned.value, resources: { ...planned.value.resources, ...boundsOf(body) } },
      {
        kind: 'evaluate',
        account: { kind: 'operations' },
        studyId: body.studyId,
        attemptLimit: 5,
        ...(training === null ? {} : { whenTrained: { after: [training.value], unplanned: body } }),
        ...by,
      },
      tx,
    );
    return submitted.ok ? ok(answer(modelId, submitted.value)) : submitted;
  }

  /** The job that trains the model; without one there is nothing to wait for. */
  private async trainingOf({ modelId, modelName }: PlannedJob): Promise<Result<string, Refused>> {
    const { items } = await this.jobs.list({ modelId: modelId as never, kind: 'train', limit: 100 });
    const live = items.find((job) => job.state === 'queued' || job.state === 'running');
    // The newest may have succeeded a moment ago: the submission, which locks it, tells that.
    const job = live ?? items.find((one) => one.state === 'succeeded');
    if (job !== undefined) return ok(job.jobId);
    return err(
      problem(
        'catalogue.not-loadable',
        `The training of ${modelName} has not been submitted, or has failed: have its suite trained first`,
      ),
    );
  }

  @Endpoint(serveModel)
  async serve(
    @Input() input: InputOf<typeof serveModel>,
    @Person() caller: PersonPrincipal,
  ): Promise<Submitted> {
    const { revisions, maxSeconds } = input.body;
    const planned = unwrap(
      await this.plan.serving(input.params.modelId, {
        maxSeconds,
        ...(revisions === undefined ? {} : { revisions }),
      }),
    );
    const submitted = unwrap(
      await submitPlanned(
        this.submit,
        { ...planned, resources: { ...planned.resources, ...boundsOf(input.body) } },
        {
          kind: 'serve',
          account: { kind: 'operations' },
          attemptLimit: 20,
          requestKey: null,
          submittedBy: caller.personId,
        },
      ),
    );
    return { jobs: [answer(planned.modelId, submitted)] };
  }
}

/** What of the resources of planned work a request decides. */
function boundsOf({
  maxSeconds,
  gpuShareMilli,
}: Pick<BodyOf<typeof evaluateModel>, 'maxSeconds' | 'gpuShareMilli'>): Pick<
  JobResources,
  'maxSeconds' | 'gpuShareMilli'
> {
  return { maxSeconds, ...(gpuShareMilli === undefined ? {} : { gpuShareMilli }) };
}

function answer(modelId: string, submitted: SubmittedJob): SubmittedOne {
  return { jobId: submitted.jobId, modelId: modelId as never, created: submitted.created };
}

function explainShortfall(refused: Refused, jobs: number): Refused {
  if (refused.code !== 'scheduling.insufficient-reservation') return refused;
  return problem(
    refused.code,
    `The suite's reservation does not cover its ${jobs} jobs, none was submitted: ${refused.detail}`,
    refused.facts,
  );
}
