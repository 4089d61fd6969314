import { z } from 'zod';
import { endpoint, idText, isoTime, pageOf, pageQuery, shortText } from './endpoint.js';
import { fileEntrySchema } from './events.js';
import {
  languageCode,
  localName,
  runnerJob,
  runnerJobSchemaName,
  scriptCode,
  workdirPath,
} from './runner-job.js';

/** Clusters and jobs as people see them. What an agent says and hears is in `agent-protocol.ts`. */

export const jobKinds = ['train', 'serve', 'infer', 'capture', 'evaluate'] as const;
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
  /** Jobs that wait at the same time in the whole consortium. */
  queuedJobs: 1_000_000,
  /** Bytes of one runner job file. */
  runnerJobBytes: 4_194_304,
  /** Log text kept per attempt; what comes after is dropped and counted. */
  logBytesPerAttempt: 4_194_304,
  /** Metric points kept per attempt: every step of a demo, every hundredth of a long run. */
  metricPointsPerAttempt: 20_000,
} as const;

// ---------------------------------------------------------------- clusters

/** What an agent found at its place. On a machine without GPUs `gpus` counts slots and `gpuType` is `cpu`. */
export const clusterInventorySchema = z.object({
  gpus: z.number().int().min(0).max(1_000_000).describe('GPUs, or slots on machines without'),
  gpuType: z.string().min(1).max(60).describe('`h100`, `a100-80gb` …; `cpu` for slots'),
  gpuMemoryMiB: z.number().int().min(0).nullable().describe('Memory of one GPU where it is known'),
  executor: z.enum(['local', 'slurm']),
  hostName: z.string().max(255),
  cpus: z.number().int().min(1).max(10_000_000),
  memoryMiB: z.number().int().min(1),
});
export type ClusterInventory = z.infer<typeof clusterInventorySchema>;

/** What the operators of a cluster admit, from the agent's own file: they keep the last word. */
export const clusterPolicySchema = z.object({
  kinds: z.array(jobKindSchema).describe('Kinds of jobs that it takes'),
  labIds: z.array(idText('lab')).nullable().describe('Labs whose own jobs it takes; null for all'),
  consortium: z.boolean().describe('Whether it takes jobs of suites that the consortium adopted'),
  gpusPerJobMax: z.number().int().min(1).nullable(),
  secondsPerJobMax: z.number().int().min(1).nullable(),
  hoursUtc: z
    .object({ from: z.number().int().min(0).max(23), to: z.number().int().min(1).max(24) })
    .nullable()
    .describe('Hours of the day in which work may start, from ≤ hour < to, over midnight when from ≥ to'),
});
export type ClusterPolicy = z.infer<typeof clusterPolicySchema>;

/** Slurm's words: draining finishes what runs, drained runs nothing, down has not been heard of. */
export const clusterStates = ['active', 'draining', 'drained', 'down', 'retired'] as const;
export const clusterStateSchema = z.enum(clusterStates);

export const clusterSchema = z
  .object({
    clusterId: idText('clu'),
    labId: idText('lab'),
    name: z.string(),
    state: clusterStateSchema,
    stateReason: z.string().nullable(),
    inventory: clusterInventorySchema.nullable().describe('Null until its agent has registered'),
    policy: clusterPolicySchema.nullable(),
    gpusBusy: z.number().int().min(0),
    attemptsLive: z.number().int().min(0),
    agentVersion: z.string().nullable(),
    incarnation: z.number().int().min(0).describe('Agent processes so far; only the last one may act'),
    lastSeenAt: isoTime.nullable(),
    createdAt: isoTime,
  })
  .meta({ id: 'Cluster' });
export type ClusterView = z.infer<typeof clusterSchema>;

const clusterName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{1,39}$/)
  .describe('Lower case, unique in the consortium');
const clusterParams = z.object({ clusterId: idText('clu') });
const operators = { kind: 'person', roles: ['operator', 'secretariat'] } as const;

export const registerCluster = endpoint({
  id: 'clusters.register',
  method: 'POST',
  path: '/clusters',
  access: operators,
  summary: 'Register a cluster of a lab and get the key of its agent',
  description: 'The key is shown once. An operator registers for their own lab, the secretariat for any.',
  body: z.object({ labId: idText('lab'), name: clusterName }),
  response: z.object({ cluster: clusterSchema, agentKey: z.string().describe('Shown only here') }),
  status: 201,
  errors: ['resource.exists', 'resource.not-found', 'auth.forbidden'],
});

export const rotateClusterKey = endpoint({
  id: 'clusters.rotate-key',
  method: 'POST',
  path: '/clusters/:clusterId/key',
  access: operators,
  summary: 'Revoke the keys of a cluster and issue a new one',
  params: clusterParams,
  response: z.object({ agentKey: z.string().describe('Shown only here') }),
  errors: ['resource.not-found', 'auth.forbidden'],
});

export const listClusters = endpoint({
  id: 'clusters.list',
  method: 'GET',
  path: '/clusters',
  access: { kind: 'public', why: 'the status page shows what the consortium has and whether it works' },
  summary: 'All clusters with their state and load',
  response: z.object({ items: z.array(clusterSchema) }),
});

export const showCluster = endpoint({
  id: 'clusters.show',
  method: 'GET',
  path: '/clusters/:clusterId',
  access: { kind: 'public', why: 'as the list of clusters' },
  summary: 'One cluster',
  params: clusterParams,
  response: clusterSchema,
  errors: ['resource.not-found'],
});

const clusterAction = <const Id extends string, const Path extends string>(
  id: Id,
  path: Path,
  summary: string,
) =>
  endpoint({
    id,
    method: 'POST',
    path,
    access: operators,
    summary,
    params: clusterParams,
    body: z.object({ reason: shortText.optional() }).default({}),
    response: clusterSchema,
    errors: ['resource.not-found', 'auth.forbidden', 'state.illegal-transition'],
  });

export const drainCluster = clusterAction(
  'clusters.drain',
  '/clusters/:clusterId/drain',
  'Let a cluster finish what it runs and take nothing new',
);
export const resumeCluster = clusterAction(
  'clusters.resume',
  '/clusters/:clusterId/resume',
  'Let a drained cluster take work again',
);
export const retireCluster = clusterAction(
  'clusters.retire',
  '/clusters/:clusterId/retire',
  'Take a cluster out of the consortium for good and revoke its keys; nothing may run on it',
);

// ---------------------------------------------------------------- jobs

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

export const jobResourcesSchema = z.object({
  gpus: z
    .number()
    .int()
    .min(1)
    .max(schedulingLimits.gpusPerJob)
    .default(1)
    .describe('A gang within one cluster'),
  gpuType: z.string().min(1).max(60).optional().describe('Any type when omitted'),
  gpuMemoryMiB: z.number().int().min(1).optional().describe('Least memory of each GPU'),
  maxSeconds: z
    .number()
    .int()
    .min(1)
    .max(schedulingLimits.maxSeconds)
    .describe('Bound on the running time of all attempts together; GPU-seconds are held for it'),
  checkpoint: z.boolean().default(true).describe('Whether another attempt can continue where one stopped'),
});
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
    attempts: z.number().int().min(0),
    attemptLimit: z.number().int().min(1),
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

/** What a person asks to be staged: registered things by their ids, never a key of the object store. */
export const jobInputRequestSchema = z.union([
  z.object({ path: workdirPath, corpusId: idText('cor') }).describe('The text of a corpus, as one file'),
  z
    .object({ path: workdirPath, modelId: idText('mdl'), revision: localName })
    .describe('A revision of a model, as a folder'),
]);
export type JobInputRequest = z.infer<typeof jobInputRequestSchema>;

const jobParams = z.object({ jobId: idText('job') });
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
    'A job that no cluster could ever run is refused at once with `scheduling.unschedulable` and what would have to change.',
  body: z.object({
    labId: idText('lab').describe('The lab that it runs for; you belong to it'),
    name: shortText.optional(),
    runner: runnerTemplateSchema,
    inputs: z.array(jobInputRequestSchema).max(2_000).default([]),
    resources: jobResourcesSchema,
    priority: z.number().int().min(-100).max(100).default(0).describe('Among the jobs of the same lab'),
    attemptLimit: z.number().int().min(1).max(schedulingLimits.attemptsPerJob).default(5),
    requestKey: requestKey.optional(),
  }),
  bodyLimitBytes: schedulingLimits.runnerJobBytes,
  response: jobSchema,
  status: 201,
  errors: [
    'scheduling.unschedulable',
    'scheduling.queue-full',
    'scheduling.insufficient-reservation',
    'resource.not-found',
    'auth.forbidden',
  ],
});

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
  response: jobSchema.extend({ history: z.array(attemptSchema), runner: z.record(z.string(), z.unknown()) }),
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
    'capacity',
    'share',
    'reserved',
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
    position: z.number().int().nullable().describe('In the order of the last decision, 1 is next'),
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
]);
export type JobStreamMessage = z.infer<typeof jobStreamMessageSchema>;

export const streamJob = endpoint({
  id: 'jobs.stream',
  method: 'GET',
  path: '/jobs/:jobId/stream',
  access: { kind: 'person' },
  summary: 'Live: state, history, metrics and logs of a job as server-sent events, until it ends',
  params: jobParams,
  query: z.object({ logs: z.stringbool().default(true) }),
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

// ---------------------------------------------------------------- suites and models as jobs

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
    'scheduling.unschedulable',
    'scheduling.insufficient-reservation',
  ],
});

/** What an evaluation computes; texts are registered corpora that were held out of training. */
export const evaluationRequestSchema = z.object({
  heldOut: z
    .array(z.object({ corpusId: idText('cor'), language: languageCode, script: scriptCode }))
    .max(1_000)
    .default([]),
  headScores: z.boolean().default(true).describe('Previous-token, induction and duplicate-token scores'),
});

export const evaluateModel = endpoint({
  id: 'models.evaluate',
  method: 'POST',
  path: '/models/:modelId/evaluate',
  access: { kind: 'person', roles: ['secretariat', 'operator', 'delegate', 'researcher'] },
  summary: 'Submit one job that evaluates revisions of a model',
  params: z.object({ modelId: idText('mdl') }),
  body: evaluationRequestSchema.extend({
    revisions: z.array(localName).max(1_000).optional().describe('All when omitted'),
    maxSeconds: z.number().int().min(1).max(schedulingLimits.maxSeconds).default(3_600),
    seed: z.number().int().min(0).max(4_294_967_295).default(0).describe('Of the bootstrap'),
    studyId: idText('stu').optional(),
    requestKey: requestKey.optional(),
  }),
  response: submitted,
  errors: ['resource.not-found', 'catalogue.not-loadable', 'scheduling.unschedulable'],
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
    })
    .default({ maxSeconds: 86_400 }),
  response: submitted,
  errors: ['resource.not-found', 'catalogue.not-loadable', 'scheduling.unschedulable'],
});

// ---------------------------------------------------------------- shares

export const shareSchema = z.object({
  owner: z.union([idText('lab'), z.literal('consortium')]),
  entitledGpus: z.number().describe('GPUs that it may count on while it has work'),
  runningGpus: z.number().int(),
  borrowedGpus: z.number().describe('Running beyond the entitlement, on capacity that others do not use'),
  lentGpus: z.number().describe('Of its own clusters, running work of others'),
  recentGpuSeconds: z.number().describe('Used lately, decayed with a half-life of seven days'),
  waitingJobs: z.number().int(),
  waitingGpus: z.number().int(),
});
export type ShareView = z.infer<typeof shareSchema>;

export const listShares = endpoint({
  id: 'shares.list',
  method: 'GET',
  path: '/shares',
  access: { kind: 'public', why: 'who is entitled to what, who lends and who borrows is published' },
  summary: 'Entitlement, use and loans of each lab and of the consortium',
  response: z.object({ items: z.array(shareSchema) }),
});

export const showLabShare = endpoint({
  id: 'shares.show',
  method: 'GET',
  path: '/labs/:labId/entitlement',
  access: { kind: 'public', why: 'as the list of shares' },
  summary: 'What a lab is entitled to, uses, borrows and lends',
  params: z.object({ labId: idText('lab') }),
  response: shareSchema,
  errors: ['resource.not-found'],
});
