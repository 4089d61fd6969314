import { z } from 'zod';
import { catalogueLimits, catalogueUploaders } from './catalogue-limits.js';
import { endpoint, idText, isoTime, longText, pageOf, pageQuery, sha256Text } from './endpoint.js';
import { languageCode, scriptCode } from './runner-job.js';

/** Corpora: the texts that models are trained and evaluated on. */

/** text: one document. jsonl: one document per line, in "text". pairs: minimal pairs, one per line, as BLiMP has them. */
export const corpusFormats = ['text', 'jsonl', 'pairs'] as const;
const corpusFormat = z
  .enum(corpusFormats)
  .describe(
    'text: one UTF-8 document; jsonl: one document per line, in the field "text"; pairs: minimal pairs, one per line, in "sentence_good" and "sentence_bad" (BLiMP)',
  );

/** `registered`: announced, its bytes not here yet. `rejected`: they came and were no text. */
export const corpusStates = ['registered', 'ready', 'rejected'] as const;

export const corpusSchema = z
  .object({
    corpusId: idText('cor'),
    name: z.string(),
    description: z.string(),
    language: languageCode,
    script: scriptCode,
    format: corpusFormat,
    sizeBytes: z.number().int().min(1),
    sha256: sha256Text,
    state: z.enum(corpusStates),
    reason: z.string().nullable().describe('Why it was rejected'),
    labId: idText('lab').nullable(),
    uploadedBy: idText('per'),
    createdAt: isoTime,
    readyAt: isoTime.nullable(),
  })
  .meta({ id: 'Corpus' });
export type CorpusView = z.output<typeof corpusSchema>;

/** Where to put bytes without credentials, for a while. */
export const uploadSchema = z.object({
  method: z.literal('PUT'),
  url: z.url(),
  headers: z.record(z.string(), z.string()),
  expiresAt: isoTime,
});
export type Upload = z.output<typeof uploadSchema>;

const corpusParams = z.object({ corpusId: idText('cor') });

export const registerCorpus = endpoint({
  id: 'corpora.register',
  method: 'POST',
  path: '/corpora',
  access: catalogueUploaders,
  summary: 'Announce a corpus: its language, size and hash',
  description:
    'Then either PUT its bytes to /corpora/{corpusId}/content, or PUT them to `upload` and POST /corpora/{corpusId}/commit. The same name, hash, language and script again answers the same corpus.',
  body: z.object({
    name: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$/)
      .describe('Unique in the consortium'),
    description: longText.default(''),
    language: languageCode,
    script: scriptCode,
    format: corpusFormat.default('text'),
    sizeBytes: z.number().int().min(0).max(catalogueLimits.corpusBytes),
    sha256: sha256Text,
    labId: idText('lab').optional().describe('The lab that brings it; you belong to it'),
  }),
  response: z.object({
    corpus: corpusSchema,
    upload: uploadSchema.nullable().describe('Null when the bytes are here already'),
  }),
  status: 201,
  errors: ['catalogue.invalid-corpus', 'resource.exists', 'auth.forbidden'],
});

export const uploadCorpus = endpoint({
  id: 'corpora.upload',
  method: 'PUT',
  path: '/corpora/:corpusId/content',
  access: catalogueUploaders,
  summary: 'Send the bytes of a registered corpus through the facility',
  description:
    'Checked while they pass: as long as announced, of the announced hash, UTF-8 without NUL, and in each line what its format promises. A corpus that is not is rejected with the offset of the first fault.',
  params: corpusParams,
  consumes: 'application/octet-stream',
  bodyLimitBytes: catalogueLimits.corpusBytes,
  response: corpusSchema,
  errors: [
    'resource.not-found',
    'auth.forbidden',
    'catalogue.invalid-corpus',
    'object-store.checksum-mismatch',
    'object-store.full',
    'state.illegal-transition',
  ],
});

export const commitCorpus = endpoint({
  id: 'corpora.commit',
  method: 'POST',
  path: '/corpora/:corpusId/commit',
  access: catalogueUploaders,
  summary: 'The bytes were put to the upload address: check them and make the corpus usable',
  params: corpusParams,
  response: corpusSchema,
  errors: [
    'resource.not-found',
    'auth.forbidden',
    'catalogue.invalid-corpus',
    'object-store.not-found',
    'object-store.checksum-mismatch',
    'state.illegal-transition',
  ],
});

export const listCorpora = endpoint({
  id: 'corpora.list',
  method: 'GET',
  path: '/corpora',
  access: { kind: 'person' },
  summary: 'Registered corpora, newest first',
  query: pageQuery.extend({ language: languageCode.optional(), state: z.enum(corpusStates).optional() }),
  response: pageOf(corpusSchema),
});

export const showCorpus = endpoint({
  id: 'corpora.show',
  method: 'GET',
  path: '/corpora/:corpusId',
  access: { kind: 'person' },
  summary: 'One corpus',
  params: corpusParams,
  response: corpusSchema,
  errors: ['resource.not-found'],
});
