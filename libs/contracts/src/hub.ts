import { z } from 'zod';
import { endpoint } from './endpoint.js';

/**
 * The part of the Hugging Face hub's read API that `huggingface_hub` and `transformers` use, so that
 * `HF_ENDPOINT=<this facility>` and `from_pretrained('beamtime/<model>', revision='step1000')` work.
 * Models live under one namespace, since the hub's ids have the form `namespace/name`.
 */
export const hubNamespace = 'beamtime';

const access = {
  kind: 'public',
  why: 'public models may be loaded by anyone; a private one needs the token of somebody who may use it',
} as const;
const name = z.string().regex(/^[A-Za-z0-9._-]{1,96}$/);
const revision = z
  .string()
  .min(1)
  .max(128)
  .describe('main (the last revision), step1000, or a commit of forty hexadecimal digits');
/** Express hands a wildcard over as the list of its parts. */
const filePath = z
  .union([z.string(), z.array(z.string())])
  .transform((path) => (typeof path === 'string' ? path : path.join('/')));

const modelInfo = z
  .object({
    _id: z.string(),
    id: z.string(),
    modelId: z.string(),
    author: z.string(),
    sha: z.string().describe('Commit'),
    private: z.boolean(),
    gated: z.boolean(),
    disabled: z.boolean(),
    lastModified: z.string(),
    createdAt: z.string(),
    downloads: z.number(),
    likes: z.number(),
    tags: z.array(z.string()),
    pipeline_tag: z.string().nullable(),
    library_name: z.string(),
    siblings: z.array(
      z.object({
        rfilename: z.string(),
        size: z.number().optional(),
        blobId: z.string().optional(),
        lfs: z.object({ sha256: z.string(), size: z.number(), pointerSize: z.number() }).optional(),
      }),
    ),
  })
  .meta({ id: 'HubModelInfo' });
export type HubModelInfo = z.output<typeof modelInfo>;

const blobs = z.object({ blobs: z.string().optional() });

export const hubModelInfo = endpoint({
  id: 'hub.model-info',
  method: 'GET',
  path: `/api/models/${hubNamespace}/:name`,
  access,
  summary: 'Hub API: a model at its last revision',
  params: z.object({ name }),
  query: blobs,
  response: modelInfo,
  errors: ['resource.not-found', 'auth.required', 'catalogue.behaviour-only'],
});

const manyTags = z
  .union([z.string(), z.array(z.string())])
  .optional()
  .transform((value) => (value === undefined ? [] : [value].flat()))
  .pipe(z.array(z.string().max(200)).max(100));

export const hubModels = endpoint({
  id: 'hub.models',
  method: 'GET',
  path: '/api/models',
  access: {
    kind: 'public',
    why: 'anyone may see what the consortium has trained; private models are shown only to those who may use them',
  },
  summary: 'Hub API: models with weights, by name; further pages by the Link header',
  query: z.object({
    search: z.string().max(200).optional().describe('Part of the name'),
    author: z.string().max(200).optional(),
    filter: manyTags.describe('Tags that all must be there: a family, a language, a library'),
    limit: z.coerce.number().int().min(1).max(1_000).default(1_000),
    cursor: z.string().max(200).optional(),
  }),
  response: z.array(
    modelInfo.pick({
      _id: true,
      id: true,
      modelId: true,
      author: true,
      private: true,
      gated: true,
      disabled: true,
      createdAt: true,
      downloads: true,
      likes: true,
      tags: true,
      pipeline_tag: true,
      library_name: true,
    }),
  ),
});

export const hubCommits = endpoint({
  id: 'hub.commits',
  method: 'GET',
  path: `/api/models/${hubNamespace}/:name/commits/:revision`,
  access,
  summary: 'Hub API: the revisions up to this one as commits, newest first',
  params: z.object({ name, revision }),
  query: z.object({ 'expand[]': z.string().optional() }),
  response: z.array(
    z.object({
      id: z.string(),
      title: z.string(),
      message: z.string(),
      date: z.string(),
      authors: z.array(z.object({ user: z.string() })),
    }),
  ),
  errors: ['resource.not-found', 'auth.required', 'catalogue.behaviour-only'],
});

export const hubRevisionInfo = endpoint({
  id: 'hub.revision-info',
  method: 'GET',
  path: `/api/models/${hubNamespace}/:name/revision/:revision`,
  access,
  summary: 'Hub API: a model at one revision',
  params: z.object({ name, revision }),
  query: blobs,
  response: modelInfo,
  errors: ['resource.not-found', 'auth.required', 'catalogue.behaviour-only'],
});

export const hubRefs = endpoint({
  id: 'hub.refs',
  method: 'GET',
  path: `/api/models/${hubNamespace}/:name/refs`,
  access,
  summary: 'Hub API: the revisions of a model as branches',
  params: z.object({ name }),
  response: z.object({
    branches: z.array(z.object({ name: z.string(), ref: z.string(), targetCommit: z.string() })),
    converts: z.array(z.never()),
    tags: z.array(z.never()),
  }),
  errors: ['resource.not-found', 'auth.required', 'catalogue.behaviour-only'],
});

const treeEntry = z.object({
  type: z.enum(['file', 'directory']),
  oid: z.string(),
  size: z.number(),
  path: z.string(),
  lfs: z.object({ oid: z.string(), size: z.number(), pointerSize: z.number() }).optional(),
});
export type HubTreeEntry = z.output<typeof treeEntry>;
const treeQuery = z.object({ recursive: z.string().optional(), expand: z.string().optional() });

export const hubTree = endpoint({
  id: 'hub.tree',
  method: 'GET',
  path: `/api/models/${hubNamespace}/:name/tree/:revision`,
  access,
  summary: 'Hub API: the files of a revision',
  params: z.object({ name, revision }),
  query: treeQuery,
  response: z.array(treeEntry),
  errors: ['resource.not-found', 'auth.required', 'catalogue.behaviour-only'],
});

export const hubSubtree = endpoint({
  id: 'hub.subtree',
  method: 'GET',
  path: `/api/models/${hubNamespace}/:name/tree/:revision/*path`,
  access,
  summary: 'Hub API: the files of a revision in one folder',
  params: z.object({ name, revision, path: filePath }),
  query: treeQuery,
  response: z.array(treeEntry),
  errors: ['resource.not-found', 'auth.required', 'catalogue.behaviour-only'],
});

export const hubResolve = endpoint({
  id: 'hub.resolve',
  method: 'GET',
  path: `/${hubNamespace}/:name/resolve/:revision/*path`,
  access,
  summary: 'Hub API: one file of a revision (also HEAD), with ETag, X-Repo-Commit and ranges',
  description: 'Large files are answered with a redirect to the object store.',
  params: z.object({ name, revision, path: filePath }),
  query: z.object({ download: z.string().optional() }),
  response: z.string(),
  produces: 'application/octet-stream',
  errors: ['resource.not-found', 'auth.required', 'catalogue.behaviour-only'],
});
