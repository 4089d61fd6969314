import { z } from 'zod';
import { catalogueLimits, readableCatalogue } from './catalogue-limits.js';
import { uploadSchema } from './corpora.js';
import { endpoint, idText, sha256Text, shortText } from './endpoint.js';
import { modelFactorsSchema, modelParams, modelSchema } from './models.js';
import { workdirPath } from './runner-job.js';

/** Bringing a model in from elsewhere, listing one that stays elsewhere, and the chain of ids behind one. */

const modelName = z
  .string()
  .regex(/^(?!.*(--|\.\.|\.git$))[A-Za-z0-9]([A-Za-z0-9._-]{0,85}[A-Za-z0-9])?$/)
  .describe('As the Hugging Face hub takes it');

const importedRevision = z.object({
  step: z.number().int().min(0).describe('The revision becomes step<step>; the greatest is main'),
  tokensSeen: z.number().int().min(0).nullable().default(null),
  files: z
    .array(z.object({ path: workdirPath, sizeBytes: z.number().int().min(0), sha256: sha256Text }))
    .min(1)
    .max(catalogueLimits.filesPerRevision),
});

export const importModel = endpoint({
  id: 'models.import',
  method: 'POST',
  path: '/models/import',
  access: { kind: 'person', roles: ['researcher', 'operator', 'secretariat'] },
  summary: 'Describe a model that was trained elsewhere and get addresses for its files',
  description:
    'Say the factors that are known; what is left out stays unknown. PUT each file to its address, then POST /models/{modelId}/import/commit.',
  body: z.object({
    name: modelName,
    factors: modelFactorsSchema.partial().default({}),
    visibility: z.enum(['public', 'private']).default('public'),
    labId: idText('lab').optional().describe('The lab that brings it; needed for a private model'),
    source: shortText.optional(),
    revisions: z.array(importedRevision).min(1).max(catalogueLimits.revisionsPerImport),
  }),
  bodyLimitBytes: 16 * 1024 * 1024,
  response: z.object({
    modelId: idText('mdl'),
    name: z.string(),
    uploads: z
      .array(z.object({ sha256: sha256Text, upload: uploadSchema.nullable() }))
      .describe('One for each content; null when the store has it already'),
  }),
  status: 201,
  errors: ['resource.exists', 'auth.forbidden', 'limit.exceeded'],
});

export const commitImport = endpoint({
  id: 'models.import.commit',
  method: 'POST',
  path: '/models/:model/import/commit',
  access: { kind: 'person', roles: ['researcher', 'operator', 'secretariat'] },
  summary: 'All files of an imported model are in the store',
  params: modelParams,
  response: modelSchema,
  errors: ['resource.not-found', 'auth.forbidden', 'object-store.not-found', 'state.illegal-transition'],
});

/** Names in the operator's BEAMTIME_UPSTREAMS. */
export const upstreamName = z.string().regex(/^[a-z0-9][a-z0-9-]{0,39}$/, 'lower-case letters, digits and -');

export const listClosedModel = endpoint({
  id: 'models.listClosed',
  method: 'POST',
  path: '/models/closed',
  access: { kind: 'person', roles: ['operator', 'secretariat'] },
  summary: 'List a closed model for behaviour only, behind an upstream that the operator has configured',
  description:
    'It answers completions, log-probabilities and surprisal as far as its upstream does, under the same allocations and policies as other models. It has no weights and no internals here: all that needs them is refused with catalogue.behaviour-only. The same description again answers the same model.',
  body: z.object({
    name: modelName,
    provider: shortText.describe('The lab or company that offers it'),
    upstream: upstreamName.describe(
      'A name in BEAMTIME_UPSTREAMS; addresses and keys are settings, never requests',
    ),
    upstreamModel: z
      .string()
      .regex(/^[\x21-\x7e]{1,200}$/)
      .describe('Its name there; a dated one, where the upstream has one, means the same tomorrow'),
    factors: modelFactorsSchema.partial().default({}).describe('Those that are known'),
  }),
  response: modelSchema,
  status: 201,
  errors: ['resource.exists', 'auth.forbidden', 'inference.upstream-unknown'],
});

export const withdrawClosedModel = endpoint({
  id: 'models.withdrawClosed',
  method: 'POST',
  path: '/models/:model/withdraw',
  access: { kind: 'person', roles: ['operator', 'secretariat'] },
  summary: 'Say that a closed model is not offered any more',
  description:
    'It stays in the catalogue with its factors and where it came from, for papers that name it, and is refused with catalogue.withdrawn from then on. Nothing undoes that; an upstream that offers it again is listed under another name. Again is harmless.',
  params: modelParams,
  body: z.object({ reason: shortText.describe('Shown with the model') }),
  response: modelSchema,
  errors: ['resource.not-found', 'auth.forbidden', 'state.illegal-transition'],
});

// ---------------------------------------------------------------- provenance chain

export const showModelChain = endpoint({
  id: 'models.chain',
  method: 'GET',
  path: '/models/:model/chain',
  access: readableCatalogue,
  summary: 'The ids that lead from a model back to the vote: job, suite, proposal, round, certificate',
  params: modelParams,
  response: z.object({
    modelId: idText('mdl'),
    name: z.string(),
    jobId: idText('job').nullable(),
    suiteId: idText('sui').nullable(),
    proposalId: idText('prp').nullable(),
    roundId: idText('rnd').nullable(),
    certificateSha256: sha256Text.nullable(),
  }),
  errors: ['resource.not-found'],
});
