import { units } from '@beamtime/kernel';
import { z } from 'zod';
import { idText, isoTime, sha256Text } from './endpoint.js';
import { reportedEvaluationSchema } from './models.js';
import { policyRuleSchema } from './policy.js';
import { scopeSchema } from './roles.js';
import { suiteDesignSchema } from './suite.js';

/**
 * Facts that travel between contexts through the outbox: written in the transaction that made them true,
 * delivered at least once. Consumers are idempotent by event id.
 */
export const fileEntrySchema = z.object({
  path: z.string().max(500).describe('Relative to the folder, forward slashes'),
  sizeBytes: z.number().int().nonnegative(),
  sha256: sha256Text,
  objectKey: z.string().max(900).describe('Where the object store keeps it'),
});
export type FileEntry = z.infer<typeof fileEntrySchema>;

export const facts = {
  'round.decided': z.object({
    roundId: idText('rnd'),
    certificateSha256: sha256Text,
    decidedAt: isoTime,
    adopted: z.array(
      z.object({
        proposalId: idText('prp'),
        suiteId: idText('sui'),
        labId: idText('lab'),
        title: z.string(),
        gpuSeconds: z.number().int().nonnegative(),
        design: suiteDesignSchema,
      }),
    ),
  }),
  /** A policy (guardrail) adopted by vote: access and gateway enforce it from then on. */
  'policy.adopted': z.object({
    policyId: idText('pol'),
    roundId: idText('rnd'),
    proposalId: idText('prp'),
    rule: policyRuleSchema,
  }),
  /** A policy that a later one replaced: it binds nobody from now on. */
  'policy.ended': z.object({ policyId: idText('pol'), roundId: idText('rnd') }),
  /** GPU-hours that a lab promised for a round and that now back its budget. */
  'round.funded': z.object({
    roundId: idText('rnd'),
    pledges: z.array(z.object({ labId: idText('lab'), gpuSeconds: z.number().int().nonnegative() })),
    /** The same by kind of GPU, where the round tells them apart. */
    byGpuType: z
      .array(
        z.object({
          labId: idText('lab'),
          gpuType: z.string(),
          gpuSeconds: z.number().int().nonnegative(),
        }),
      )
      .default([]),
  }),
  'suite.released': z.object({ suiteId: idText('sui') }),
  'job.ended': z.object({
    jobId: idText('job'),
    kind: z.enum(['train', 'serve', 'infer', 'capture', 'evaluate', 'command']),
    state: z.enum(['succeeded', 'failed', 'cancelled']),
    attempts: z.number().int(),
    gpuSecondsUsed: z.number().int().nonnegative(),
    modelId: idText('mdl').nullable(),
    suiteId: idText('sui').nullable(),
    studyId: idText('stu').nullable(),
    reason: z.string().nullable(),
    at: isoTime,
  }),
  /** A checkpoint whose files are all in the object store, fenced by the attempt. */
  'attempt.checkpoint-committed': z.object({
    jobId: idText('job'),
    attempt: z.number().int().min(1),
    clusterId: idText('clu'),
    modelId: idText('mdl'),
    step: z.number().int().nonnegative(),
    tokensSeen: z.number().int().nonnegative(),
    bytesSeen: z.number().int().nonnegative(),
    loss: z.number().nullable(),
    weightsSha256: sha256Text.nullable(),
    chainSha256: sha256Text.nullable().optional().describe('Head of the hash chain of steps'),
    files: z.array(fileEntrySchema),
    at: isoTime,
  }),
  /** What a training run really used (every resolved option), and its provenance. */
  'attempt.resolved': z.object({
    jobId: idText('job'),
    attempt: z.number().int().min(1),
    modelId: idText('mdl'),
    resolved: z.record(z.string(), z.unknown()),
  }),
  /** A training job has ended and all that it made is in the catalogue: now the model can be loaded, or will not be. */
  'model.training-recorded': z.object({
    modelId: idText('mdl'),
    jobId: idText('job'),
  }),
  /** Somebody asks a model that no cluster serves: it needs a replica now, not when its load is looked at next. */
  'model.wanted': z.object({ modelId: idText('mdl') }),
  /** Results of an evaluation of one revision of one model. */
  'evaluation.reported': z.object({
    jobId: idText('job'),
    attempt: z.number().int().min(1),
    studyId: idText('stu').nullable(),
    modelId: idText('mdl'),
    step: z.number().int().nonnegative(),
    results: reportedEvaluationSchema,
    at: isoTime,
  }),
  'allocation.activated': z.object({
    allocationId: idText('alc'),
    labId: idText('lab'),
    applicantId: idText('per'),
    scopes: z.array(scopeSchema),
    grants: z.array(z.object({ unit: z.enum(units), amount: z.number().int().positive() })),
  }),
} as const;

export type FactType = keyof typeof facts;
export type FactOf<T extends FactType> = z.output<(typeof facts)[T]>;
