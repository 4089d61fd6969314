import { z } from 'zod';
import { readableCatalogue } from './catalogue-limits.js';
import { endpoint, idText, isoTime, pageOf, pageQuery, sha256Text } from './endpoint.js';
import { suiteDesignSchema } from './suite.js';

/** Suites in the catalogue: planned, trained, and what they can answer. */

export const cellCostSchema = z.object({
  name: z.string(),
  parameters: z.number(),
  parametersWithoutEmbeddings: z.number(),
  tokens: z.number(),
  flops: z.number(),
  gpuSeconds: z.number(),
  wallSeconds: z.number(),
  checkpoints: z.number(),
  storageBytes: z.number(),
});

export const confoundingSchema = z
  .object({
    models: z.number().int(),
    held: z.array(z.string()).describe('Factors that are equal in all of them'),
    factors: z.array(
      z.object({
        factor: z.string(),
        levels: z.number().int(),
        unknown: z.number().int().describe('Models of which this factor is not known'),
        cleanPairs: z.number().int().describe('Pairs that differ in this factor and nothing else'),
        confoundedWith: z.array(z.string()).describe('Factors that differ wherever this one does'),
      }),
    ),
    associations: z.array(
      z.object({
        factors: z.tuple([z.string(), z.string()]),
        strength: z.number().describe("Cramér's V: 0 crossed, 1 one follows from the other"),
        inseparable: z.boolean(),
      }),
    ),
    unanswerable: z.array(z.string()).describe('Factors whose effect these models cannot show'),
  })
  .meta({ id: 'Confounding' });

/** What a design would train, cost and answer. */
export const suitePlanSchema = z
  .object({
    name: z.string(),
    models: z.number().int(),
    parameters: z.number(),
    tokens: z.number(),
    flops: z.number(),
    gpuSeconds: z.number(),
    gpuHours: z.number(),
    bytePremiums: z
      .record(z.string(), z.number())
      .optional()
      .describe('By language, where budgets are scaled by them'),
    longestWallSeconds: z.number(),
    checkpoints: z.number(),
    storageBytes: z.number(),
    cells: z.array(
      cellCostSchema.extend({ levels: z.record(z.string(), z.union([z.string(), z.number()])) }),
    ),
    questions: z.array(z.object({ factor: z.string(), pairs: z.number().int(), groups: z.number().int() })),
    confounding: confoundingSchema,
  })
  .meta({ id: 'SuitePlan' });
export type SuitePlan = z.output<typeof suitePlanSchema>;

export const planSuite = endpoint({
  id: 'suites.plan',
  method: 'POST',
  path: '/suites/plan',
  access: { kind: 'person' },
  summary: 'What a design would train, cost and be able to answer; keeps nothing',
  body: suiteDesignSchema,
  response: suitePlanSchema,
  errors: ['governance.invalid-suite'],
});

/** Follows from the states of the suite's models. */
export const suiteStates = ['planned', 'training', 'ready', 'incomplete'] as const;

export const suiteSchema = z
  .object({
    suiteId: idText('sui'),
    name: z.string(),
    title: z.string(),
    state: z.enum(suiteStates).describe('incomplete: nothing trains any more and some models failed'),
    origin: z.enum(['round', 'secretariat']),
    roundId: idText('rnd').nullable(),
    proposalId: idText('prp').nullable(),
    labId: idText('lab').nullable().describe('The lab that proposed it'),
    certificateSha256: sha256Text.nullable(),
    gpuSecondsReserved: z.number().int(),
    gpuSecondsUsed: z.number().int(),
    models: z.record(z.string(), z.number().int()).describe('How many models are in each state'),
    createdAt: isoTime,
  })
  .meta({ id: 'Suite' });
export type SuiteView = z.output<typeof suiteSchema>;

export const createSuite = endpoint({
  id: 'suites.create',
  method: 'POST',
  path: '/suites',
  access: { kind: 'person', roles: ['secretariat'] },
  summary: 'Enter a suite that no round decided on (a lab pays for it itself, or it is a trial)',
  body: z.object({ design: suiteDesignSchema, labId: idText('lab').optional() }),
  response: suiteSchema,
  status: 201,
  errors: ['governance.invalid-suite', 'resource.exists'],
});

export const listSuites = endpoint({
  id: 'suites.list',
  method: 'GET',
  path: '/suites',
  access: readableCatalogue,
  summary: 'Suites, newest first',
  query: pageQuery.extend({ roundId: idText('rnd').optional() }),
  response: pageOf(suiteSchema),
});

export const showSuite = endpoint({
  id: 'suites.show',
  method: 'GET',
  path: '/suites/:suiteId',
  access: readableCatalogue,
  summary: 'One suite with its design and its models',
  params: z.object({ suiteId: idText('sui') }),
  response: suiteSchema.extend({
    design: suiteDesignSchema,
    members: z.array(
      z.object({ modelId: idText('mdl'), name: z.string(), state: z.string(), revisions: z.number().int() }),
    ),
  }),
  errors: ['resource.not-found'],
});
