import { z } from 'zod';
import { endpoint, idText, isoTime, shortText } from './endpoint.js';
import { unitAmount, unitSchema, unitSum } from './units.js';

/** The books of all units, for everybody to check. */

const booksArePublic = {
  kind: 'public',
  why: 'the consortium publishes its books; they carry ids and sums, no personal data',
} as const;

export const checkBooks = endpoint({
  id: 'books.check',
  method: 'GET',
  path: '/books/check',
  access: booksArePublic,
  summary: 'Check the ledger: balanced, never overdrawn, every balance what the journal says',
  response: z.object({
    ok: z.boolean(),
    checks: z.array(
      z.object({
        name: z.string(),
        says: z.string(),
        violations: z.number().int(),
        example: z.string().nullable(),
      }),
    ),
    totals: z.array(
      z.object({
        unit: unitSchema,
        issued: unitSum.describe('Came in, less what lapsed: always available + held + used'),
        available: unitSum,
        held: unitSum,
        used: unitSum,
        entries: z.number().int(),
      }),
    ),
  }),
});

export const accountSchema = z.object({
  unit: unitSchema,
  owner: z
    .string()
    .describe('`consortium`, `operations`, `lab:…`, `round:…`, `suite:…`, `allocation:…`, `person:…`'),
  kind: z.enum(['issuer', 'usage', 'fund', 'share']),
  parent: z.string().nullable(),
  balance: unitSum.nullable().describe('Settled: received less used and passed on; holds are not taken off'),
  held: unitSum,
  used: unitSum,
  available: unitSum.nullable(),
  limit: unitSum.nullable(),
  opensAt: isoTime.nullable(),
  closesAt: isoTime.nullable(),
  grants: z.array(
    z.object({
      grantId: z.string(),
      balance: unitSum,
      held: unitSum,
      startsAt: isoTime.nullable(),
      expiresAt: isoTime.nullable(),
    }),
  ),
});

export const listAccounts = endpoint({
  id: 'books.accounts',
  method: 'GET',
  path: '/books/accounts',
  access: { kind: 'person', roles: ['secretariat', 'auditor', 'delegate', 'deputy'] },
  summary: 'The accounts at and below an owner',
  query: z.object({ below: z.string().max(200).default('consortium') }),
  response: z.object({ items: z.array(accountSchema) }),
});

export const journalLineSchema = z.object({
  seq: z.number().int(),
  id: z.string(),
  kind: z.enum(['transfer', 'hold', 'post', 'void', 'expire', 'lapse']),
  unit: unitSchema,
  debit: z.string(),
  credit: z.string(),
  account: z.string(),
  amount: unitSum,
  holdId: z.string().nullable(),
  reference: z.string(),
  actor: z.string(),
  expiresAt: isoTime.nullable(),
  at: isoTime,
});

export const listJournal = endpoint({
  id: 'books.journal',
  method: 'GET',
  path: '/books/journal',
  access: { kind: 'person', roles: ['secretariat', 'auditor'] },
  summary: 'The journal of the ledger, oldest first',
  query: z.object({
    unit: unitSchema.optional(),
    account: z.string().max(200).optional(),
    reference: z.string().max(200).optional(),
    afterSeq: z.coerce.number().int().min(0).default(0),
    limit: z.coerce.number().int().min(1).max(1_000).default(200),
  }),
  response: z.object({ items: z.array(journalLineSchema) }),
});

const gpuSums = { held: unitSum, used: unitSum, returned: unitSum, stillHeld: unitSum };
export const gpuSecondsReport = endpoint({
  id: 'books.gpu-seconds',
  method: 'GET',
  path: '/books/gpu-seconds',
  access: booksArePublic,
  summary: 'Where the GPU-seconds of the rounds went: held = used + returned + stillHeld',
  response: z.object({
    rounds: z.array(
      z.object({
        round: z.string(),
        funded: unitSum,
        reserved: unitSum,
        toOperations: unitSum,
        left: unitSum,
      }),
    ),
    accounts: z.array(
      z.object({
        account: z.string(),
        round: z.string().nullable(),
        received: unitSum,
        passedOn: unitSum,
        ...gpuSums,
        jobs: z.number().int(),
        balance: unitSum,
      }),
    ),
    total: z.object(gpuSums),
  }),
});

export const lendToOperations = endpoint({
  id: 'books.lend',
  method: 'POST',
  path: '/books/operations',
  access: { kind: 'person', roles: ['secretariat', 'delegate'] },
  summary: 'Lend GPU-seconds of a lab for serving and evaluating, outside any round',
  body: z.object({
    loanId: z
      .string()
      .regex(/^[A-Za-z0-9_-]{8,80}$/)
      .describe('Made by the client: the same loan sent again is booked once'),
    labId: idText('lab'),
    gpuSeconds: unitAmount,
    reason: shortText,
  }),
  response: z.object({ available: unitSum.describe('In the operations account now') }),
  errors: ['auth.forbidden', 'access.id-reused'],
});
