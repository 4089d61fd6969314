import { z } from 'zod';
import { endpoint, isoTime } from './endpoint.js';

/** Endpoints that every service has. */
export const health = endpoint({
  id: 'facility.health',
  method: 'GET',
  path: '/health',
  access: { kind: 'public', why: 'load balancers and people need to know whether the service works' },
  summary: 'Whether this service and what it depends on work',
  description: 'Status 503 when a dependency does not answer.',
  response: z.object({
    status: z.enum(['ok', 'degraded']),
    version: z.string(),
    checks: z.record(z.string(), z.enum(['ok', 'failed'])),
  }),
});

export const metrics = endpoint({
  id: 'facility.metrics',
  method: 'GET',
  path: '/metrics',
  access: { kind: 'public', why: 'Prometheus scrapes it from within the network; it carries no names' },
  summary: 'Metrics in the Prometheus text format',
  response: z.string(),
  produces: 'text/plain',
});

export const auditEntrySchema = z.object({
  seq: z.number().int().positive(),
  at: isoTime,
  actor: z.string(),
  action: z.string(),
  subject: z.string(),
  details: z.unknown(),
  hash: z.string(),
});

export const exportAudit = endpoint({
  id: 'audit.export',
  method: 'GET',
  path: '/audit',
  access: {
    kind: 'public',
    why: 'the consortium publishes its decisions; entries carry ids and sums, no personal data',
  },
  summary: 'A page of the hash-chained audit log',
  description:
    'hash = SHA-256(previous hash, line feed, RFC 8785 JSON of {seq, at, actor, action, subject, details}); the first previous hash is 64 zeros.',
  query: z.object({
    afterSeq: z.coerce.number().int().min(0).default(0),
    limit: z.coerce.number().int().min(1).max(2_000).default(500),
  }),
  response: z.object({ entries: z.array(auditEntrySchema) }),
});

export const facilityStatus = endpoint({
  id: 'facility.status',
  method: 'GET',
  path: '/status',
  access: {
    kind: 'public',
    why: 'the state of the facility in figures and public names, for the status page',
  },
  summary: 'Clusters, rounds, jobs and models at a glance',
  response: z.object({
    at: isoTime,
    version: z.string(),
    labs: z.int(),
    clusters: z.array(
      z.object({
        id: z.string(),
        name: z.string(),
        lab: z.string(),
        state: z.string(),
        gpusTotal: z.int(),
        gpusBusy: z.int(),
        lastSeenAt: isoTime.nullable(),
      }),
    ),
    rounds: z.array(
      z.object({
        id: z.string(),
        title: z.string(),
        state: z.string(),
        proposals: z.int(),
        budgetGpuSeconds: z.number(),
      }),
    ),
    jobs: z.object({
      byState: z.record(z.string(), z.int()),
      latest: z.array(
        z.object({
          id: z.string(),
          kind: z.string(),
          name: z.string(),
          state: z.string(),
          attempts: z.int(),
          progress: z.number().min(0).max(1).nullable(),
          cluster: z.string().nullable(),
          submittedAt: isoTime,
        }),
      ),
    }),
    models: z.array(
      z.object({
        id: z.string(),
        name: z.string(),
        state: z.string(),
        family: z.string().nullable(),
        language: z.string().nullable(),
        parameters: z.number().nullable(),
        revisions: z.int(),
        loss: z.number().nullable(),
      }),
    ),
  }),
});
