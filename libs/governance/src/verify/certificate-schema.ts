import { z } from 'zod';

// The shape of a certificate as `TallyCertificate` describes it, and nothing else: types, spellings and lengths, as any
// schema of JSON can say them. What it says is for verify-certificate.ts to check.

const text = z.string();
/** A whole number has one spelling. */
const wholeText = z.string().regex(/^(0|[1-9]\d*)$/, 'is not a whole number');
const whole = wholeText.transform(BigInt);
const positive = z
  .string()
  .regex(/^[1-9]\d*$/, 'is not a whole number above zero')
  .transform(BigInt);
const position = z.int().min(0);
const utility = z.enum(['cost', 'cardinality']);
const priced = z.strictObject({ project: text, prices: z.array(whole) });

const rule = z.discriminatedUnion('name', [
  z.strictObject({
    name: z.literal('equal-shares'),
    utility,
    completion: z.enum(['none', 'add1', 'add1u', 'phragmen']),
    increment: positive,
    threshold: whole,
  }),
  z.strictObject({ name: z.literal('phragmen'), skip: z.boolean(), threshold: whole }),
  z.strictObject({ name: z.literal('greedy'), utility, skip: z.boolean(), threshold: whole }),
]);

const reason = z.discriminatedUnion('code', [
  z.strictObject({ code: z.literal('unsupported') }),
  z.strictObject({ code: z.literal('below_threshold') }),
  z.strictObject({ code: z.literal('variant'), winner: text }),
  z.strictObject({ code: z.literal('unaffordable'), left: z.array(wholeText) }),
  z.strictObject({ code: z.literal('no_room'), left: z.array(wholeText) }),
  z.strictObject({ code: z.literal('after_stop'), stoppedBy: text }),
]);

const group = z.strictObject({
  voters: z.array(text).min(1),
  weight: positive,
  ballot: z.array(text),
  scores: z.array(positive),
});

const certificateSchema = z.strictObject({
  format: z.literal('beamtime-tally-certificate/2'),
  title: text,
  rule,
  seed: text,
  units: z.strictObject({ money: z.array(positive), grains: positive, weight: positive, score: positive }),
  budgets: z.array(z.strictObject({ resource: text, amount: positive })).min(1),
  projects: z.array(
    z.strictObject({ id: text, name: text, costs: z.array(whole), exclusiveGroup: text.optional() }),
  ),
  groups: z.array(group).min(1),
  endowment: whole,
  raises: position,
  winners: z.array(
    priced.extend({
      by: z.enum(['equal-shares', 'phragmen', 'greedy']),
      payments: z.array(z.strictObject({ amounts: z.array(wholeText), groups: z.array(position).min(1) })),
    }),
  ),
  losers: z.array(z.strictObject({ project: text, reason })),
  overrun: z.array(priced),
  stop: z.array(priced).max(1),
  ballotsSha256: text,
  sha256: text,
});

export type ReadCertificate = z.infer<typeof certificateSchema>;
/** A winner; or in the overrun and at the stop, of which only the price is known. */
export type ReadPurchase = ReadCertificate['stop'][number] & Partial<ReadCertificate['winners'][number]>;

/** Reads the shape, or throws an error that says in one line what is not shaped so. */
export function readCertificate(certificate: unknown): ReadCertificate {
  const read = certificateSchema.safeParse(certificate);
  if (read.success) return read.data;
  const [issue] = read.error.issues;
  throw new Error(`${issue?.path.join('.')}: ${issue?.message}`);
}
