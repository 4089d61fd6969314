import { z } from 'zod';
import { endpoint, idText, isoTime, pageOf, sha256Text } from './endpoint.js';

/**
 * Files that command jobs read and leave: `beamtime://SPACE/path`. A space belongs to a lab or to an allocation; bytes
 * go to the object store by presigned URL, and a path points to them from the moment of its commit.
 */

/** So many files one space holds. */
export const filesPerSpaceMax = 100_000;

/** `beamtime://lab_…/results/a.txt`: the space, then the path in it, without empty, `.` and `..` parts. */
export const spaceUrl = z
  .string()
  .max(1_200)
  .regex(
    /^beamtime:\/\/((lab|alc)_[0-9a-hjkmnp-tv-z]{26})\/.+$/,
    'beamtime://lab_…/path or beamtime://alc_…/path',
  )
  .refine((url) => isSoundPath(url.slice('beamtime://'.length)), 'a path without empty parts, . and ..')
  .describe('beamtime://SPACE/path');

function isSoundPath(text: string): boolean {
  return (
    text.split('/').every((part) => part !== '' && part !== '.' && part !== '..') && !/\p{Cc}/u.test(text)
  );
}

export function partsOfSpaceUrl(url: string): { readonly space: string; readonly path: string } | undefined {
  if (!spaceUrl.safeParse(url).success) return undefined;
  const rest = url.slice('beamtime://'.length);
  const slash = rest.indexOf('/');
  return { space: rest.slice(0, slash), path: rest.slice(slash + 1) };
}

const caller = { kind: 'person-or-api-key' } as const;
const announced = z.object({
  url: spaceUrl,
  sizeBytes: z
    .number()
    .int()
    .min(0)
    .max(5 * 1024 ** 3),
  sha256: sha256Text,
});
export const spaceFileSchema = z
  .object({
    url: z.string(),
    sizeBytes: z.number().int().min(0),
    sha256: sha256Text,
    jobId: idText('job').nullable().describe('The job that made it; null where a person did'),
    updatedAt: isoTime,
  })
  .meta({ id: 'SpaceFile' });
export type SpaceFile = z.infer<typeof spaceFileSchema>;

export const uploadSpaceFile = endpoint({
  id: 'files.upload',
  method: 'POST',
  path: '/files/uploads',
  access: caller,
  summary: 'Leave to put the bytes of a file into the object store',
  body: announced,
  response: z.object({
    upload: z
      .object({ url: z.url(), headers: z.record(z.string(), z.string()) })
      .nullable()
      .describe('PUT the bytes there; null when the store has them already'),
  }),
  errors: ['auth.forbidden', 'limit.exceeded', 'object-store.full'],
});

export const commitSpaceFile = endpoint({
  id: 'files.commit',
  method: 'POST',
  path: '/files',
  access: caller,
  summary: 'Bytes that were put become the file of this name, in the place of an earlier one',
  body: announced,
  response: spaceFileSchema,
  errors: ['auth.forbidden', 'limit.exceeded', 'object-store.not-found', 'object-store.checksum-mismatch'],
});

export const findSpaceFile = endpoint({
  id: 'files.find',
  method: 'GET',
  path: '/files/one',
  access: caller,
  summary: 'A file with a URL from which it can be fetched for a while',
  query: z.object({ url: spaceUrl }),
  response: spaceFileSchema.extend({ downloadUrl: z.url() }),
  errors: ['auth.forbidden', 'resource.not-found'],
});

export const listSpaceFiles = endpoint({
  id: 'files.list',
  method: 'GET',
  path: '/files',
  access: caller,
  summary: 'Files of a space by name',
  query: z.object({
    space: z.union([idText('lab'), idText('alc')]),
    prefix: z.string().max(1_000).default('').describe('Of the path'),
    limit: z.coerce.number().int().min(1).max(1_000).default(200),
    after: z.string().max(1_200).optional(),
  }),
  response: pageOf(spaceFileSchema),
  errors: ['auth.forbidden'],
});

export const removeSpaceFile = endpoint({
  id: 'files.remove',
  method: 'DELETE',
  path: '/files/one',
  access: caller,
  summary: 'Take a file out of its space; what was made from it stays',
  query: z.object({ url: spaceUrl }),
  response: z.object({ removed: z.boolean() }),
  errors: ['auth.forbidden'],
});
