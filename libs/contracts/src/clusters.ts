import { z } from 'zod';
import { endpoint, idText, isoTime, shortText } from './endpoint.js';
import { jobKindSchema } from './scheduling.js';

/** Clusters and shares as people see them. */

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
  gpuParts: z
    .number()
    .int()
    .min(1)
    .max(10)
    .optional()
    .describe(
      'So many jobs at most may share a GPU, each with no less than that part of it, rounded down to a hundredth; 1, and when omitted: no GPU is shared',
    ),
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
    gpusBusy: z.number().int().min(0).describe('Given out whole or in part'),
    gpusTrusted: z
      .number()
      .int()
      .min(0)
      .nullable()
      .describe(
        'So many of its GPUs are counted on, since it did not take work that fits into what it claims; null: all',
      ),
    gpusTrustedUntil: isoTime.nullable().describe('When its claim is believed again'),
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

export const shareSchema = z.object({
  owner: z.union([idText('lab'), z.literal('consortium')]),
  entitledGpus: z.number().describe('GPUs that it may count on while it has work'),
  runningGpus: z.number().describe('A part of a GPU counts as that part'),
  borrowedGpus: z.number().describe('Running beyond the entitlement, on capacity that others do not use'),
  lentGpus: z.number().describe('Of its own clusters, running work of others'),
  recentGpuSeconds: z.number().describe('Used lately, decayed with a half-life of seven days'),
  creditGpuSeconds: z
    .number()
    .describe(
      'Lent to others less borrowed from them, decayed with the same half-life; negative for who owes',
    ),
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
