/**
 * How an agent at a member lab talks to the facility. It only dials out, trusts nobody, and may be cut off at any
 * moment; every message may be lost, repeated or late.
 *
 * - `register` once per process gives the cluster's next incarnation; an older process hears
 *   `scheduling.agent-superseded` (409) from then on, everywhere.
 * - `sync` is a long poll: it renews the leases of the attempts it names, carries inventory and states up, and
 *   offers, cancels and stops down. The server dictates all intervals.
 * - `advance` carries many accepts, declines and reports of any attempts in one call and one commit; each is answered
 *   by itself, so one that is fenced stops none of the others. The calls for one attempt do the same, one by one.
 * - Whatever is written for an attempt carries (job, attempt number, incarnation). If that no longer matches, no row
 *   changes and the answer is `scheduling.attempt-fenced` (409): the agent stops the attempt at once.
 * - An agent stops an attempt itself before its lease ends, counted from when it *sent* the sync that was answered.
 * - Files never pass through here: an agent asks for presigned URLs, puts the bytes, then commits by hash.
 */
import { z } from 'zod';
import { clusterInventorySchema, clusterPolicySchema } from './clusters.js';
import { commandJob } from './command-job.js';
import { endpoint, idText, isoTime, sha256Text } from './endpoint.js';
import { evaluationResult, numericsReceipt, runnerEvent } from './runner-event.js';
import { localName, runnerJob, workdirPath } from './runner-job.js';
import { attemptStateSchema, jobKindSchema, jobResourcesSchema, logChunkSchema } from './scheduling.js';

const agentAccess = { kind: 'agent' } as const;
const fencing = ['scheduling.agent-superseded', 'scheduling.attempt-fenced'] as const;

export const agentLimits = {
  attemptsPerSync: 10_000,
  /** What one `advance` carries: enough to share a commit, few enough that an answer with assignments stays small. */
  itemsPerAdvance: 200,
  eventsPerReport: 500,
  logChunksPerReport: 50,
  filesPerFolder: 2_000,
  /** Inputs of which a cluster tells that it has them: its largest. */
  cachedInputs: 1_000,
  /** Bytes of one report: events of a capture of many layers are the largest. */
  reportBytes: 8_388_608,
} as const;

/** Hexadecimal digits of the SHA-256 by which an agent names an input that it keeps: a hint needs no proof. */
export const cachedInputDigits = 16;

const incarnation = z.number().int().min(1).describe('Given by register');
const attemptParams = z.object({ jobId: idText('job'), attempt: z.coerce.number().int().min(1) });
export const attemptRefSchema = z.object({ jobId: idText('job'), attempt: z.number().int().min(1) });
export type AttemptRef = z.infer<typeof attemptRefSchema>;

export const agentTimesSchema = z.object({
  leaseTtlMs: z.number().int().min(1).describe('An attempt that is not renewed for so long is lost'),
  longPollMs: z.number().int().min(0).describe('How long the server may keep a sync open'),
  pollIntervalMs: z.number().int().min(0).describe('Pause between an answer and the next sync'),
  stopMarginMs: z.number().int().min(0).describe('So long before a lease ends the agent stops the attempt'),
});
export type AgentTimes = z.infer<typeof agentTimesSchema>;

export const registerAgent = endpoint({
  id: 'agent.register',
  method: 'POST',
  path: '/agent/register',
  access: agentAccess,
  summary: 'An agent process begins; earlier ones of its cluster are superseded',
  description: 'Repeated with the same instanceId it answers the same incarnation.',
  body: z.object({
    instanceId: z
      .string()
      .regex(/^[A-Za-z0-9-]{16,64}$/)
      .describe('Random, one per process'),
    agentVersion: z.string().max(40),
    inventory: clusterInventorySchema,
    policy: clusterPolicySchema,
    stopped: z
      .array(attemptRefSchema)
      .max(agentLimits.attemptsPerSync)
      .default([])
      .describe('Attempts of an earlier process whose programs this one has seen to be dead'),
  }),
  response: z.object({
    clusterId: idText('clu'),
    clusterName: z.string(),
    labId: idText('lab'),
    incarnation,
    times: agentTimesSchema,
    gatewayUrls: z.array(z.url()).describe('Where served models are connected; empty: the facility itself'),
    serverTime: isoTime,
  }),
  errors: ['auth.forbidden', 'state.conflict'],
});

export const syncAgent = endpoint({
  id: 'agent.sync',
  method: 'POST',
  path: '/agent/sync',
  access: agentAccess,
  summary: 'Renew leases, tell what runs, hear what to do; waits a while when there is nothing to say',
  body: z.object({
    incarnation,
    inventory: clusterInventorySchema,
    policy: clusterPolicySchema,
    draining: z.boolean().describe('The operator drains this agent'),
    attempts: z
      .array(attemptRefSchema.extend({ state: attemptStateSchema }))
      .max(agentLimits.attemptsPerSync)
      .describe('All attempts that this process holds'),
    heard: z
      .array(attemptRefSchema.extend({ what: z.enum(['offer', 'cancel', 'preempt']) }))
      .max(agentLimits.attemptsPerSync)
      .default([])
      .describe('What it has heard and not answered yet: these alone are no reason to answer at once'),
    cached: z
      .strictObject({
        version: z.number().int().min(1).describe('Rises with every change, within one process'),
        inputs: z
          .array(z.string().regex(new RegExp(`^[0-9a-f]{${cachedInputDigits}}$`)))
          .max(agentLimits.cachedInputs)
          .describe(`The first ${cachedInputDigits} digits of their SHA-256, the largest files first`),
      })
      .optional()
      .describe('All inputs kept here for later jobs; left out while the facility knows them'),
    wait: z.boolean().default(true).describe('Whether the server may keep the request open'),
  }),
  bodyLimitBytes: agentLimits.reportBytes,
  response: z.object({
    times: agentTimesSchema,
    clusterState: z.enum(['active', 'draining', 'drained', 'down', 'retired']),
    offers: z.array(
      attemptRefSchema.extend({
        kind: jobKindSchema,
        resources: jobResourcesSchema,
        labId: idText('lab').nullable(),
        suiteId: idText('sui').nullable(),
        gpuSlot: z
          .number()
          .int()
          .min(0)
          .optional()
          .describe(
            'With a part of a GPU: which of the shared ones. Attempts of the same number share one; which of its GPUs that is, the agent says',
          ),
        expiresInMs: z.number().int(),
      }),
    ),
    renewed: z.array(attemptRefSchema).describe('Their leases run from the moment this sync was sent'),
    cancel: z.array(attemptRefSchema.extend({ reason: z.string() })),
    preempt: z.array(attemptRefSchema.extend({ reason: z.string() })).describe('Checkpoint, then stop'),
    stop: z.array(attemptRefSchema).describe('No longer yours: stop at once and report nothing'),
  }),
  errors: ['scheduling.agent-superseded'],
});
export type SyncAnswer = z.infer<typeof syncAgent.response>;

/** An object to fetch into the working folder before the program starts. */
export const stagedInputSchema = z.object({
  path: workdirPath,
  sizeBytes: z.number().int().min(0),
  sha256: sha256Text,
  url: z.url(),
});
export type StagedInput = z.infer<typeof stagedInputSchema>;

export const attemptAssignmentSchema = z.object({
  runner: z.union([runnerJob, commandJob]),
  inputs: z.array(stagedInputSchema),
  resume: z
    .object({ step: z.number().int(), files: z.array(stagedInputSchema) })
    .nullable()
    .describe('Where an earlier attempt stopped; paths begin with the folder in which the runner looks'),
  resources: jobResourcesSchema,
  secondsLeft: z.number().int().describe('Of the running time of the job; the agent ends it then'),
  modelId: idText('mdl').nullable(),
});

export const acceptAttempt = endpoint({
  id: 'agent.accept',
  method: 'POST',
  path: '/agent/attempts/:jobId/:attempt/accept',
  access: agentAccess,
  summary: 'Take an offer: starts the lease and answers what to stage and run; again gives fresh URLs',
  params: attemptParams,
  body: z.object({ incarnation }),
  response: attemptAssignmentSchema,
  errors: fencing,
});
export type AttemptAssignment = z.infer<typeof acceptAttempt.response>;

const declinedSchema = z.object({
  reason: z.string().max(500),
  code: z
    .enum(['policy', 'capacity', 'draining'])
    .default('policy')
    .describe('capacity: it has fewer GPUs than the offer and what it runs; draining: it takes nothing now'),
});
export type DeclineCode = z.output<typeof declinedSchema>['code'];

export const declineAttempt = endpoint({
  id: 'agent.decline',
  method: 'POST',
  path: '/agent/attempts/:jobId/:attempt/decline',
  access: agentAccess,
  summary: "Refuse an offer: the cluster's own policy has the last word",
  params: attemptParams,
  body: declinedSchema.extend({ incarnation }),
  response: z.object({}),
  errors: fencing,
});

export const attemptReportSchema = z.object({
  state: z.enum(['staging', 'running', 'finalizing', 'succeeded', 'failed', 'cancelled', 'preempted']),
  reason: z.string().max(2_000).optional(),
  exitCode: z.number().int().optional(),
  retriable: z
    .boolean()
    .default(true)
    .describe('With failed: whether another attempt may end otherwise (not after bad input)'),
});

export const reportAttempt = endpoint({
  id: 'agent.report',
  method: 'POST',
  path: '/agent/attempts/:jobId/:attempt/state',
  access: agentAccess,
  summary: 'An attempt has moved on; repeating the same state is harmless',
  params: attemptParams,
  body: attemptReportSchema.extend({ incarnation }),
  response: z.object({}),
  errors: fencing,
});

export const advanceItemSchema = z.discriminatedUnion('kind', [
  attemptRefSchema.extend({ kind: z.literal('accept') }),
  attemptRefSchema.extend({ kind: z.literal('decline'), ...declinedSchema.shape }),
  attemptRefSchema.extend({ kind: z.literal('report'), ...attemptReportSchema.shape }),
]);
export type AdvanceItem = z.output<typeof advanceItemSchema>;

export const advanceAttempts = endpoint({
  id: 'agent.advance',
  method: 'POST',
  path: '/agent/advance',
  access: agentAccess,
  summary: 'Many accepts, declines and reports in one call and one commit; repeating it is harmless',
  description:
    'Done in order, each answered by itself as its own call would: an item that is fenced or refused changes nothing and stops none of the others.',
  body: z.object({
    incarnation,
    items: z.array(advanceItemSchema).min(1).max(agentLimits.itemsPerAdvance),
  }),
  bodyLimitBytes: agentLimits.reportBytes,
  response: z.object({
    results: z
      .array(
        z.discriminatedUnion('ok', [
          z.object({
            ok: z.literal(true),
            assignment: attemptAssignmentSchema.nullable().describe('With accept: what to stage and run'),
          }),
          z.object({ ok: z.literal(false), problem: z.object({ code: z.string(), detail: z.string() }) }),
        ]),
      )
      .describe('One for each item, in its order'),
  }),
  errors: ['scheduling.agent-superseded'],
});
export type AdvanceResult = z.output<typeof advanceAttempts.response>['results'][number];

export const reportLogs = endpoint({
  id: 'agent.logs',
  method: 'POST',
  path: '/agent/attempts/:jobId/:attempt/logs',
  access: agentAccess,
  summary: 'Text that a program printed; a chunk that is known already changes nothing',
  params: attemptParams,
  body: z.object({ incarnation, chunks: z.array(logChunkSchema).min(1).max(agentLimits.logChunksPerReport) }),
  bodyLimitBytes: agentLimits.reportBytes,
  response: z.object({ keptBytes: z.number().int(), limitBytes: z.number().int() }),
  errors: fencing,
});

export const reportEvents = endpoint({
  id: 'agent.events',
  method: 'POST',
  path: '/agent/attempts/:jobId/:attempt/events',
  access: agentAccess,
  summary: 'Event lines of the runner; a line that is known already changes nothing',
  params: attemptParams,
  body: z.object({ incarnation, events: z.array(runnerEvent).min(1).max(agentLimits.eventsPerReport) }),
  bodyLimitBytes: agentLimits.reportBytes,
  response: z.object({ nextSeq: z.number().int() }),
  errors: fencing,
});

export const requestUploads = endpoint({
  id: 'agent.uploads',
  method: 'POST',
  path: '/agent/attempts/:jobId/:attempt/uploads',
  access: agentAccess,
  summary: 'Presigned URLs for files of this attempt',
  params: attemptParams,
  body: z.object({
    incarnation,
    files: z
      .array(z.object({ sha256: sha256Text, sizeBytes: z.number().int().min(0) }))
      .min(1)
      .max(agentLimits.filesPerFolder),
  }),
  response: z.object({
    files: z.array(
      z.object({
        sha256: sha256Text,
        objectKey: z.string(),
        upload: z
          .object({ url: z.url(), headers: z.record(z.string(), z.string()) })
          .nullable()
          .describe('PUT the bytes there; null when the store has them already'),
      }),
    ),
  }),
  errors: [...fencing, 'object-store.full', 'limit.exceeded'],
});

const uploadedFiles = z
  .array(z.object({ path: workdirPath, sizeBytes: z.number().int().min(0), sha256: sha256Text }))
  .min(1)
  .max(agentLimits.filesPerFolder)
  .describe('Paths relative to the folder; each was put with a URL of this attempt');

export const commitCheckpoint = endpoint({
  id: 'agent.commit-checkpoint',
  method: 'POST',
  path: '/agent/attempts/:jobId/:attempt/checkpoints',
  access: agentAccess,
  summary: 'A checkpoint is complete in the object store: it becomes a revision of the model',
  params: attemptParams,
  body: z.object({
    incarnation,
    step: z.number().int().min(0),
    revision: localName,
    tokensSeen: z.number().int().min(0),
    bytesSeen: z.number().int().min(0),
    loss: z.number().nullable(),
    weightsSha256: sha256Text,
    chainSha256: sha256Text,
    files: uploadedFiles,
  }),
  response: z.object({ committed: z.boolean().describe('False when this step was committed before') }),
  errors: [...fencing, 'object-store.not-found', 'object-store.checksum-mismatch', 'state.conflict'],
});

export const commitResumable = endpoint({
  id: 'agent.commit-resumable',
  method: 'POST',
  path: '/agent/attempts/:jobId/:attempt/resumable',
  access: agentAccess,
  summary: 'State from which another attempt can continue is complete in the object store',
  params: attemptParams,
  body: z.object({
    incarnation,
    step: z.number().int().min(0),
    chainSha256: sha256Text,
    files: uploadedFiles,
  }),
  response: z.object({ committed: z.boolean() }),
  errors: [...fencing, 'object-store.not-found', 'object-store.checksum-mismatch'],
});

export const commitEvaluation = endpoint({
  id: 'agent.commit-evaluation',
  method: 'POST',
  path: '/agent/attempts/:jobId/:attempt/evaluations',
  access: agentAccess,
  summary: 'Results of one revision; reported once per job and revision',
  params: attemptParams,
  body: z.object({
    incarnation,
    revision: localName,
    results: z.array(evaluationResult).min(1).max(2_000),
    receipt: numericsReceipt,
  }),
  bodyLimitBytes: agentLimits.reportBytes,
  response: z.object({ committed: z.boolean() }),
  errors: fencing,
});

export const commitArtifact = endpoint({
  id: 'agent.commit-artifact',
  method: 'POST',
  path: '/agent/attempts/:jobId/:attempt/artifacts',
  access: agentAccess,
  summary: 'A file that a job made (a capture, a tokenizer manifest) is in the object store',
  params: attemptParams,
  body: z.object({
    incarnation,
    name: localName,
    mediaType: z.string().max(200),
    file: z.object({ path: workdirPath, sizeBytes: z.number().int().min(0), sha256: sha256Text }),
  }),
  response: z.object({ objectKey: z.string() }),
  errors: [...fencing, 'object-store.not-found', 'object-store.checksum-mismatch', 'limit.exceeded'],
});
