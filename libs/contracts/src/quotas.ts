import { z } from 'zod';
import { endpoint, idText, isoTime } from './endpoint.js';
import { schedulingLimits } from './scheduling.js';

/** Quotas: how many jobs of a lab, a person or a project may be unfinished at the same time. */

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
    maxUnfinishedJobs: z.number().int().min(0),
    unfinishedJobs: z
      .number()
      .int()
      .min(0)
      .describe('Queued and running now; more than the quota if it was lowered'),
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
  summary: 'Set how many unfinished jobs a lab, a person or a project may have',
  description:
    'A submission beyond a quota is refused with `scheduling.quota-exceeded`, which names the quota. Jobs that are there already stay, also when a quota is lowered below their number. Kept in the audit log.',
  body: z.object({
    target: quotaTargetSchema,
    maxUnfinishedJobs: z
      .number()
      .int()
      .min(0)
      .max(schedulingLimits.queuedJobs)
      .nullable()
      .describe('Null: no quota'),
  }),
  response: z.object({ items: z.array(quotaSchema).describe('All quotas after the change') }),
});

export const listQuotas = endpoint({
  id: 'quotas.list',
  method: 'GET',
  path: '/quotas',
  access: { kind: 'person' },
  summary: 'All quotas, and how much of each is used',
  response: z.object({ items: z.array(quotaSchema) }),
});
