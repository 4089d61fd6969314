import { z } from 'zod';
import { endpoint, idText, isoTime, shortText } from './endpoint.js';
import { gpuShareSchema } from './gpu-share.js';
import { languageCode, localName, scriptCode, workdirPath } from './runner-job.js';
import { jobResourcesSchema, jobSchema, runnerTemplateSchema, schedulingLimits } from './scheduling.js';

/** By what people put jobs into the queue: a job of their own, a suite's training, a model's evaluation or service. */

/** What a person asks to be staged: registered things by their ids, never a key of the object store. */
export const jobInputRequestSchema = z.union([
  z.object({ path: workdirPath, corpusId: idText('cor') }).describe('The text of a corpus, as one file'),
  z
    .object({ path: workdirPath, modelId: idText('mdl'), revision: localName })
    .describe('A revision of a model, as a folder'),
]);
export type JobInputRequest = z.infer<typeof jobInputRequestSchema>;

const requestKey = z
  .string()
  .min(8)
  .max(200)
  .describe('Chosen by the client: the same key again returns the same job instead of a second one');

export const submitJob = endpoint({
  id: 'jobs.submit',
  method: 'POST',
  path: '/jobs',
  access: { kind: 'person', roles: ['researcher', 'operator', 'delegate', 'deputy', 'secretariat'] },
  summary: 'Submit a job of a lab',
  description:
    'A job that no cluster could ever run is refused at once with `scheduling.unschedulable` and what would have to change. A job that follows others waits until all of them have succeeded; when one fails or is cancelled, it is cancelled too, with the reason, and so are those that follow it.',
  body: z
    .object({
      labId: idText('lab').describe('The lab that it runs for; you belong to it'),
      name: shortText.optional(),
      runner: runnerTemplateSchema,
      inputs: z.array(jobInputRequestSchema).max(2_000).default([]),
      resources: jobResourcesSchema,
      priority: z.number().int().min(-100).max(100).default(0).describe('Among the jobs of the same lab'),
      attemptLimit: z.number().int().min(1).max(schedulingLimits.attemptsPerJob).default(5),
      after: z
        .array(idText('job'))
        .max(schedulingLimits.followedPerJob)
        .default([])
        .describe('Jobs that must have succeeded before it starts'),
      deadline: isoTime
        .optional()
        .describe(
          'A job that has not ended by then is cancelled, with its checkpoints kept; it moves nothing forward in the queue',
        ),
      requestKey: requestKey.optional(),
    })
    .refine(
      ({ runner, resources }) => runner['kind'] !== 'train' || (resources.gpuShareMilli ?? 1_000) === 1_000,
      {
        path: ['resources', 'gpuShareMilli'],
        message: 'a training has its GPUs to itself',
      },
    )
    .refine(
      ({ runner, resources: { gpus, gpusMin = gpus } }) => runner['kind'] === 'train' || gpusMin === gpus,
      {
        path: ['resources', 'gpusMin'],
        message: 'only a training can go on with another number of GPUs',
      },
    ),
  bodyLimitBytes: schedulingLimits.runnerJobBytes,
  response: jobSchema,
  status: 201,
  errors: [
    'scheduling.unschedulable',
    'scheduling.queue-full',
    'scheduling.quota-exceeded',
    'scheduling.dependency-failed',
    'scheduling.deadline-past',
    'scheduling.insufficient-reservation',
    'resource.not-found',
    'auth.forbidden',
  ],
});

const submitted = z.object({
  jobs: z.array(z.object({ jobId: idText('job'), modelId: idText('mdl').nullable(), created: z.boolean() })),
});

export const trainSuite = endpoint({
  id: 'suites.train',
  method: 'POST',
  path: '/suites/:suiteId/train',
  access: { kind: 'person', roles: ['secretariat', 'operator', 'delegate', 'researcher'] },
  summary: 'Submit one training job for each planned model of an adopted suite; again is harmless',
  params: z.object({ suiteId: idText('sui') }),
  body: z
    .object({
      attemptLimit: z.number().int().min(1).max(schedulingLimits.attemptsPerJob).default(10),
      threads: z.number().int().min(1).max(1_024).default(1).describe('CPU threads of each run'),
    })
    .default({ attemptLimit: 10, threads: 1 }),
  response: submitted,
  errors: [
    'resource.not-found',
    'catalogue.invalid-corpus',
    'governance.invalid-suite',
    'scheduling.unschedulable',
    'scheduling.quota-exceeded',
    'scheduling.insufficient-reservation',
  ],
});

/** What an evaluation computes; texts are registered corpora that were held out of training. */
const material = z.object({ corpusId: idText('cor'), language: languageCode, script: scriptCode });
export const evaluationRequestSchema = z.object({
  heldOut: z.array(material).max(1_000).default([]).describe('Texts for bits per byte'),
  minimalPairs: z.array(material).max(98).default([]).describe('Corpora of format pairs'),
  headScores: z.boolean().default(true).describe('Previous-token, induction and duplicate-token scores'),
});

/** The same as one job or several, each over revisions of a model. */
const evaluationJobs = evaluationRequestSchema.extend({
  maxSeconds: z.number().int().min(1).max(schedulingLimits.maxSeconds).default(3_600).describe('Of each job'),
  gpuShareMilli: gpuShareSchema.optional(),
  seed: z.number().int().min(0).max(4_294_967_295).default(0).describe('Of the bootstrap'),
  studyId: idText('stu').optional(),
  requestKey: requestKey.optional(),
});
const evaluationErrors = [
  'resource.not-found',
  'catalogue.not-loadable',
  'catalogue.invalid-corpus',
  'scheduling.unschedulable',
  'scheduling.quota-exceeded',
  'scheduling.dependency-failed',
] as const;

export const evaluateModel = endpoint({
  id: 'models.evaluate',
  method: 'POST',
  path: '/models/:modelId/evaluate',
  access: { kind: 'person', roles: ['secretariat', 'operator', 'delegate', 'researcher'] },
  summary: 'Submit one job that evaluates revisions of a model',
  description:
    'With `whenTrained`, a model that is still to be trained is evaluated when its training has succeeded: the job waits for the training job, and its revisions are looked up then. When the training fails or is cancelled, the evaluation is cancelled.',
  params: z.object({ modelId: idText('mdl') }),
  body: evaluationJobs.extend({
    revisions: z.array(localName).max(1_000).optional().describe('All when omitted'),
    whenTrained: z
      .boolean()
      .default(false)
      .describe(
        'Wait for the training of the model if that has not ended; otherwise such a model is refused',
      ),
  }),
  response: submitted,
  errors: evaluationErrors,
});

export const evaluateSuite = endpoint({
  id: 'suites.evaluate',
  method: 'POST',
  path: '/suites/:suiteId/evaluate',
  access: { kind: 'person', roles: ['secretariat', 'operator', 'delegate', 'researcher'] },
  summary: 'Submit one evaluation job for each model of a suite, over all its revisions; all or none',
  description:
    'Models that are still to be trained are evaluated when their training has succeeded, so the whole suite may be asked for as soon as its training has been submitted. Models in which there is nothing to evaluate, as attention heads in a recurrent one, are left out and named.',
  params: z.object({ suiteId: idText('sui') }),
  body: evaluationJobs,
  response: submitted.extend({
    leftOut: z
      .array(z.object({ modelId: idText('mdl'), name: z.string(), reason: z.string() }))
      .describe('Models without a job, and why'),
  }),
  errors: evaluationErrors,
});

export const serveModel = endpoint({
  id: 'models.serve',
  method: 'POST',
  path: '/models/:modelId/serve',
  access: { kind: 'person', roles: ['secretariat', 'operator', 'delegate', 'researcher'] },
  summary: 'Have a model served; a model that is served already keeps its job',
  params: z.object({ modelId: idText('mdl') }),
  body: z
    .object({
      revisions: z.array(localName).max(1_000).optional().describe('All when omitted'),
      maxSeconds: z.number().int().min(1).max(schedulingLimits.maxSeconds).default(86_400),
      gpuShareMilli: gpuShareSchema.optional(),
    })
    .default({ maxSeconds: 86_400 }),
  response: submitted,
  errors: [
    'resource.not-found',
    'catalogue.not-loadable',
    'scheduling.unschedulable',
    'scheduling.quota-exceeded',
  ],
});
