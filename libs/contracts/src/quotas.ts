import { z } from 'zod';
import { endpoint, idText, isoTime } from './endpoint.js';
import { schedulingLimits } from './scheduling.js';

/**
 * Quotas: how many jobs of a lab, a person or a project may be unfinished at the same time, and how many GPUs its
 * running jobs may hold at the same time.
 */

export const quotaScopes = ['lab', 'person', 'project'] as const;
export type QuotaScope = (typeof quotaScopes)[number];

/** Whom a quota binds: a project is a suite or a study. */
export const quotaTargetSchema = z.discriminatedUnion('scope', [
  z.object({ scope: z.literal('lab'), subject: idText('lab').describe('All jobs that run for the lab') }),
  z.object({ scope: z.literal('person'), subject: idText('per').describe('All jobs that they submitted') }),
  z.object({
    scope: z.literal('project'),
    subject: z.union([idText('sui'), idText('stu')]).describe('All jobs of a suite or of a study'),
  }),
]);
export type QuotaTarget = z.infer<typeof quotaTargetSchema>;

export const quotaSchema = z
  .object({
    scope: z.enum(quotaScopes),
    subject: z.string(),
    maxUnfinishedJobs: z.number().int().min(0).nullable().describe('Null: any number'),
    unfinishedJobs: z
      .number()
      .int()
      .min(0)
      .describe('Queued and running now; more than the quota if it was lowered'),
    maxGpusAtOnce: z.number().int().min(0).nullable().describe('Null: any number'),
    gpusInUse: z
      .number()
      .int()
      .min(0)
      .describe('Held by attempts now, offered ones included; more than the quota if it was lowered'),
    setBy: idText('per'),
    setAt: isoTime,
  })
  .meta({ id: 'Quota' });
export type QuotaView = z.infer<typeof quotaSchema>;

export const setQuota = endpoint({
  id: 'quotas.set',
  method: 'POST',
  path: '/quotas',
  access: { kind: 'person', roles: ['secretariat'] },
  summary: 'Set how many unfinished jobs, and GPUs at once, a lab, a person or a project may have',
  description:
    'A submission beyond a quota of unfinished jobs is refused with `scheduling.quota-exceeded`, which names the quota. Jobs beyond a quota of GPUs wait until there is room under it, and `jobs.why` says so; only a job that alone asks for more GPUs is refused. Jobs that are there already stay, and what runs goes on, also when a quota is lowered below their number. Kept in the audit log.',
  body: z
    .object({
      target: quotaTargetSchema,
      maxUnfinishedJobs: z
        .number()
        .int()
        .min(0)
        .max(schedulingLimits.queuedJobs)
        .nullable()
        .optional()
        .describe('Jobs queued or running at the same time. Null: no such quota; left out: as it is'),
      maxGpusAtOnce: z
        .number()
        .int()
        .min(0)
        .max(1_000_000)
        .nullable()
        .optional()
        .describe(
          'GPUs that running jobs hold at the same time, on all clusters together. Null: no such quota; left out: as it is',
        ),
    })
    .refine((body) => body.maxUnfinishedJobs !== undefined || body.maxGpusAtOnce !== undefined, {
      message: 'maxUnfinishedJobs, maxGpusAtOnce, or both',
    }),
  response: z.object({ items: z.array(quotaSchema).describe('All quotas after the change') }),
  errors: ['limit.exceeded'],
});

export const listQuotas = endpoint({
  id: 'quotas.list',
  method: 'GET',
  path: '/quotas',
  access: { kind: 'person' },
  summary: 'All quotas, and how much of each is used',
  response: z.object({ items: z.array(quotaSchema) }),
});
