import { z } from 'zod';
import { endpoint, idText, isoTime, pageOf, pageQuery, shortText } from './endpoint.js';
import { fileEntrySchema } from './events.js';
import { gpuShareSchema } from './gpu-share.js';
import { halvedGpus, isHalving } from './halved-gpus.js';
import { runnerJob, runnerJobSchemaName } from './runner-job.js';

/** Jobs as people see them. What an agent says and hears is in `agent-protocol.ts`. */

export const jobKinds = ['train', 'serve', 'infer', 'capture', 'evaluate', 'command'] as const;
/** What a cluster takes unless its operator says otherwise: programs that others bring only where they are wished for. */
export const jobKindsByDefault = ['train', 'serve', 'infer', 'capture', 'evaluate'] as const;
export const jobKindSchema = z.enum(jobKinds);
export type JobKind = z.infer<typeof jobKindSchema>;

/** Bounds that stop a mistake at the door. */
export const schedulingLimits = {
  gpusPerJob: 4_096,
  /** A year: longer work checkpoints and is submitted again. */
  maxSeconds: 31_536_000,
  /** Files that one job stages; a suite's evaluation of all revisions of a model needs hundreds. */
  inputsPerJob: 20_000,
  attemptsPerJob: 100,
  /** Jobs that one job follows. */
  followedPerJob: 64,
  /** Jobs that follow one job: what its end releases or cancels is written in one transaction. */
  followersPerJob: 10_000,
  /** Jobs that wait at the same time in the whole consortium. */
  queuedJobs: 1_000_000,
  /** Quotas of labs, persons and projects in the whole consortium. */
  quotas: 1_000,
  /** Bytes of one runner job file. */
  runnerJobBytes: 4_194_304,
  /** Log text kept per attempt; what comes after is dropped and counted. */
  logBytesPerAttempt: 4_194_304,
  /** Metric points kept per attempt: every step of a demo, every hundredth of a long run. */
  metricPointsPerAttempt: 20_000,
} as const;

export const jobStates = ['queued', 'running', 'succeeded', 'failed', 'cancelled'] as const;
export const jobStateSchema = z.enum(jobStates);
export type JobState = z.infer<typeof jobStateSchema>;

export const attemptStates = [
  'offered',
  'accepted',
  'staging',
  'running',
  'finalizing',
  'succeeded',
  'failed',
  'cancelled',
  'preempted',
  'lost',
  'expired',
] as const;
export const attemptStateSchema = z.enum(attemptStates);
export type AttemptState = z.infer<typeof attemptStateSchema>;

const resourceFields = z.object({
  gpus: z
    .number()
    .int()
    .min(1)
    .max(schedulingLimits.gpusPerJob)
    .default(1)
    .describe('A gang within one cluster'),
  gpusMin: z
    .number()
    .int()
    .min(1)
    .max(schedulingLimits.gpusPerJob)
    .optional()
    .describe(
      'Makes it elastic: `gpus`, halved once or several times. Where the whole is not to be had it starts with half, and so on, but no fewer than this, and goes on with more when there is room. Its weights are the same whatever it had; the time bound counts as with all its GPUs. Exactly `gpus` when omitted',
    ),
  gpuType: z.string().min(1).max(60).optional().describe('Any type when omitted'),
  gpuShareMilli: gpuShareSchema.optional(),
  gpuMemoryMiB: z
    .number()
    .int()
    .min(1)
    .optional()
    .describe('Least memory of each GPU, or of its part of one'),
  maxSeconds: z
    .number()
    .int()
    .min(1)
    .max(schedulingLimits.maxSeconds)
    .describe('Bound on the running time of all attempts together; GPU-seconds are held for it'),
  checkpoint: z.boolean().default(true).describe('Whether another attempt can continue where one stopped'),
});
export const jobResourcesSchema = resourceFields
  .refine(({ gpus, gpuShareMilli = 1_000 }) => gpuShareMilli === 1_000 || gpus === 1, {
    path: ['gpuShareMilli'],
    message: 'only a job of one GPU can have a part of it',
  })
  .refine(({ gpus, gpusMin = gpus }) => isHalving(gpus, gpusMin), halvedGpus);
export type JobResources = z.output<typeof jobResourcesSchema>;

/** The runner's job file without what each attempt brings: `schema`, `jobId`, `attempt`. */
export const runnerTemplateSchema = z
  .record(z.string(), z.unknown())
  .superRefine((template, context) => {
    const parsed = runnerJob.safeParse({
      ...template,
      schema: runnerJobSchemaName,
      jobId: 'job',
      attempt: 1,
    });
    if (parsed.success) return;
    for (const issue of parsed.error.issues.slice(0, 10)) {
      context.addIssue({ code: 'custom', path: issue.path, message: issue.message });
    }
  })
  .describe("The runner's job file without schema, jobId and attempt");
export type RunnerTemplate = z.infer<typeof runnerTemplateSchema>;

/** What a job runs and which objects are staged into its working folder first (`path` is relative to it). */
export const jobSpecSchema = z.object({
  runner: runnerTemplateSchema,
  inputs: z.array(fileEntrySchema).max(schedulingLimits.inputsPerJob),
});
export type JobSpec = z.infer<typeof jobSpecSchema>;

/** Who pays the GPU-seconds of a job; null where nobody is charged. */
export const gpuAccountRefSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('suite'), suiteId: idText('sui') }),
  z.object({ kind: z.literal('lab'), labId: idText('lab') }),
  z.object({ kind: z.literal('allocation'), allocationId: idText('alc') }),
  z.object({ kind: z.literal('operations') }).describe('What the consortium serves and evaluates with'),
]);
export type GpuAccountRef = z.infer<typeof gpuAccountRefSchema>;

export const attemptSchema = z
  .object({
    attempt: z.number().int().min(1).describe('The fencing token'),
    gpus: z.number().int().min(1).describe('Those that it has: of an elastic job maybe fewer than asked for'),
    clusterId: idText('clu'),
    clusterName: z.string(),
    state: attemptStateSchema,
    offeredAt: isoTime,
    runningAt: isoTime.nullable(),
    endedAt: isoTime.nullable(),
    leaseExpiresAt: isoTime.nullable(),
    resumedFromStep: z.number().int().nullable(),
    gpuSeconds: z.number().int().min(0),
    exitCode: z.number().int().nullable(),
    reason: z.string().nullable(),
  })
  .meta({ id: 'Attempt' });
export type AttemptView = z.infer<typeof attemptSchema>;

export const jobProgressSchema = z.object({
  phase: z.string().nullable(),
  fraction: z.number().nullable().describe('Of the phase'),
  step: z.number().int().nullable(),
  loss: z.number().nullable(),
  tokensPerSecond: z.number().nullable(),
  remainingSeconds: z.number().nullable(),
});
export type JobProgress = z.infer<typeof jobProgressSchema>;

export const jobSchema = z
  .object({
    jobId: idText('job'),
    kind: jobKindSchema,
    name: z.string(),
    state: jobStateSchema,
    reason: z.string().nullable().describe('Why it ended as it did, for a person'),
    cancelRequested: z.boolean(),
    labId: idText('lab').nullable(),
    suiteId: idText('sui').nullable(),
    modelId: idText('mdl').nullable(),
    studyId: idText('stu').nullable(),
    resources: jobResourcesSchema,
    priority: z.number().int(),
    blockedBy: z
      .number()
      .int()
      .min(0)
      .describe('What must happen before it may start: jobs that it follows, and the training of its model'),
    attempts: z.number().int().min(0),
    attemptLimit: z.number().int().min(1),
    deadline: isoTime.nullable().describe('When it is ended, should it not have ended by itself'),
    clusterId: idText('clu').nullable().describe('Where its present or last attempt is'),
    clusterName: z.string().nullable(),
    attemptState: attemptStateSchema.nullable().describe('Of its present or last attempt'),
    progress: jobProgressSchema.nullable(),
    checkpoints: z.number().int().min(0).describe('Committed so far'),
    lastCheckpointStep: z.number().int().nullable(),
    resumableStep: z.number().int().nullable(),
    gpuSecondsHeld: z.number().int().min(0),
    gpuSecondsUsed: z.number().int().min(0),
    submittedBy: z.string(),
    submittedAt: isoTime,
    startedAt: isoTime.nullable(),
    endedAt: isoTime.nullable(),
  })
  .meta({ id: 'Job' });
export type JobView = z.infer<typeof jobSchema>;

/** A job that another one follows, as it stands now. */
export const followedJobSchema = z.object({ jobId: idText('job'), name: z.string(), state: jobStateSchema });
export type FollowedJob = z.infer<typeof followedJobSchema>;

const jobParams = z.object({ jobId: idText('job') });
export const listJobs = endpoint({
  id: 'jobs.list',
  method: 'GET',
  path: '/jobs',
  access: { kind: 'person' },
  summary: 'Jobs, newest first',
  query: pageQuery.extend({
    state: jobStateSchema.optional(),
    kind: jobKindSchema.optional(),
    labId: idText('lab').optional(),
    suiteId: idText('sui').optional(),
    modelId: idText('mdl').optional(),
    studyId: idText('stu').optional(),
    clusterId: idText('clu').optional(),
  }),
  response: pageOf(jobSchema),
});

export const summarizeJobs = endpoint({
  id: 'jobs.summary',
  method: 'GET',
  path: '/jobs/summary',
  access: { kind: 'public', why: 'the status page shows how many jobs wait and run; it names no person' },
  summary: 'Jobs counted by state and kind',
  response: z.object({
    counts: z.array(z.object({ kind: jobKindSchema, state: jobStateSchema, jobs: z.number().int() })),
    gpuSecondsUsed: z.number().int(),
    gpuSecondsHeld: z.number().int().describe('By jobs that have not ended'),
  }),
});

export const showJob = endpoint({
  id: 'jobs.show',
  method: 'GET',
  path: '/jobs/:jobId',
  access: { kind: 'person' },
  summary: 'A job with its attempts',
  params: jobParams,
  response: jobSchema.extend({
    history: z.array(attemptSchema),
    runner: z.record(z.string(), z.unknown()),
    follows: z.array(followedJobSchema).describe('The jobs that it follows'),
  }),
  errors: ['resource.not-found'],
});

export const cancelJob = endpoint({
  id: 'jobs.cancel',
  method: 'POST',
  path: '/jobs/:jobId/cancel',
  access: { kind: 'person' },
  summary: 'Cancel a job; one that has ended stays as it is',
  description: 'Its submitter, an operator or delegate of its lab, or the secretariat.',
  params: jobParams,
  body: z.object({ reason: shortText.optional() }).default({}),
  response: jobSchema,
  errors: ['resource.not-found', 'auth.forbidden'],
});

/** Why a job does not run yet, in words, with a code to branch on. */
export const waitingReasonSchema = z.object({
  code: z.enum([
    'running',
    'ended',
    'next',
    'dependencies',
    'capacity',
    'share',
    'reserved',
    'quota',
    'cluster-unavailable',
    'cluster-policy',
    'retry-later',
    'unschedulable',
  ]),
  detail: z.string().describe('What it waits for'),
  change: z.string().nullable().describe('What would have to change for it to start'),
  clusters: z
    .array(z.object({ clusterId: idText('clu'), clusterName: z.string(), verdict: z.string() }))
    .describe('Each cluster and what it says to this job'),
});
export type WaitingReason = z.infer<typeof waitingReasonSchema>;

export const explainJob = endpoint({
  id: 'jobs.why',
  method: 'GET',
  path: '/jobs/:jobId/why',
  access: { kind: 'person' },
  summary: 'What a job waits for, and what would have to change',
  params: jobParams,
  response: waitingReasonSchema.extend({
    jobId: idText('job'),
    state: jobStateSchema,
    position: z
      .number()
      .int()
      .nullable()
      .describe('Among the waiting jobs of its owner, 1 is first; 10000: that or further back'),
    follows: z.array(followedJobSchema).describe('The jobs that it follows, and how they stand'),
  }),
  errors: ['resource.not-found'],
});

export const jobEventSchema = z.object({
  id: z.number().int(),
  at: isoTime,
  attempt: z.number().int().nullable(),
  subject: z.enum(['job', 'attempt', 'note']),
  from: z.string().nullable(),
  to: z.string(),
  actor: z.string().describe('Id of a person or cluster, or a part of the facility'),
  reason: z.string().nullable(),
});
export type JobEvent = z.infer<typeof jobEventSchema>;

export const listJobEvents = endpoint({
  id: 'jobs.events',
  method: 'GET',
  path: '/jobs/:jobId/events',
  access: { kind: 'person' },
  summary: 'The history of a job, oldest first',
  params: jobParams,
  query: z.object({
    afterId: z.coerce.number().int().min(0).default(0),
    limit: z.coerce.number().int().min(1).max(1_000).default(200),
  }),
  response: z.object({ items: z.array(jobEventSchema) }),
  errors: ['resource.not-found'],
});

export const logChunkSchema = z.object({
  seq: z.number().int().min(0).describe('Counts the chunks of an attempt'),
  offset: z.number().int().min(0).describe('Bytes of the log before this chunk'),
  stream: z.enum(['stdout', 'stderr', 'agent']),
  text: z.string().max(65_536),
});
export type LogChunk = z.infer<typeof logChunkSchema>;

export const readJobLogs = endpoint({
  id: 'jobs.logs',
  method: 'GET',
  path: '/jobs/:jobId/logs',
  access: { kind: 'person' },
  summary: 'What an attempt of a job has printed',
  params: jobParams,
  query: z.object({
    attempt: z.coerce.number().int().min(1).optional().describe('The last one when omitted'),
    afterSeq: z.coerce.number().int().min(-1).default(-1),
    limit: z.coerce.number().int().min(1).max(500).default(100),
  }),
  response: z.object({
    attempt: z.number().int().nullable(),
    items: z.array(logChunkSchema),
    droppedBytes: z.number().int().describe('Over the limit of one attempt and not kept'),
  }),
  errors: ['resource.not-found'],
});

export const metricPointSchema = z.object({
  attempt: z.number().int().min(1),
  step: z.number().int().min(0),
  loss: z.number().nullable(),
  tokensPerSecond: z.number().nullable(),
});
export type MetricPoint = z.infer<typeof metricPointSchema>;

export const readJobMetrics = endpoint({
  id: 'jobs.metrics',
  method: 'GET',
  path: '/jobs/:jobId/metrics',
  access: { kind: 'person' },
  summary: 'Loss by training step; where attempts overlap, the later one counts',
  params: jobParams,
  query: z.object({
    afterStep: z.coerce.number().int().min(-1).default(-1),
    limit: z.coerce.number().int().min(1).max(20_000).default(5_000),
  }),
  response: z.object({ items: z.array(metricPointSchema) }),
  errors: ['resource.not-found'],
});

/** One message of a live stream, as the `data` of a server-sent event whose name is its `type`. */
export const jobStreamMessageSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('job'), job: jobSchema }),
  z.object({ type: z.literal('event'), jobId: idText('job'), event: jobEventSchema }),
  z.object({ type: z.literal('metrics'), jobId: idText('job'), points: z.array(metricPointSchema) }),
  z.object({
    type: z.literal('log'),
    jobId: idText('job'),
    attempt: z.number().int(),
    chunk: logChunkSchema,
  }),
  z
    .object({ type: z.literal('end'), jobId: idText('job') })
    .describe('The job has ended and all of it is told: do not come back'),
]);
export type JobStreamMessage = z.infer<typeof jobStreamMessageSchema>;

export const streamJob = endpoint({
  id: 'jobs.stream',
  method: 'GET',
  path: '/jobs/:jobId/stream',
  access: { kind: 'person' },
  summary: 'Live: state, history, metrics and logs of a job as server-sent events, until it ends',
  params: jobParams,
  description:
    'Every message has an id; sent back as `Last-Event-ID` (as browsers do) or `after`, the stream goes on behind it. A comment line comes every 15 s. After the message `end` there is no more.',
  query: z.object({
    logs: z.stringbool().default(true),
    fromAttempt: z.coerce
      .number()
      .int()
      .min(1)
      .optional()
      .describe('Logs of this attempt and later ones; of all when omitted'),
    after: z.string().max(100).optional().describe('Id of the last message that was read'),
  }),
  response: jobStreamMessageSchema,
  produces: 'text/event-stream',
  errors: ['resource.not-found'],
});

export const streamJobs = endpoint({
  id: 'jobs.stream-all',
  method: 'GET',
  path: '/jobs/stream',
  access: { kind: 'person' },
  summary: 'Live: every change of a job as server-sent events',
  query: z.object({ suiteId: idText('sui').optional() }),
  response: jobStreamMessageSchema,
  produces: 'text/event-stream',
});
