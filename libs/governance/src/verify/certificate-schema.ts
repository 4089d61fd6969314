import { z } from 'zod';

// The shape of a certificate as `TallyCertificate` describes it, and nothing else: whoever reads one from outside reads
// it through this. What it says is for verify-certificate.ts to check.

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

const group = z
  .strictObject({
    voters: z.array(text).min(1),
    weight: positive,
    ballot: z.array(text),
    scores: z.array(positive),
  })
  .refine(({ ballot, scores }) => scores.length === ballot.length, 'has not one score for each vote')
  .refine(({ ballot }) => once(ballot), 'votes twice for one project');

const certificateObject = z.strictObject({
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

/** Also: each id stands once, all projects have won or lost, and there is a cost and a unit for each budget. */
export const certificateSchema = certificateObject
  .refine(({ projects }) => once(projects.map(({ id }) => id)), 'a project stands twice')
  .refine(({ projects, winners, losers }) => {
    const named = [...winners, ...losers].map(({ project }) => project);
    return once(named) && named.length === projects.length;
  }, 'winners and losers are not all projects, each once')
  .refine(({ groups }) => once(groups.flatMap(({ voters }) => voters)), 'a voter stands twice')
  .refine(({ units, budgets }) => units.money.length === budgets.length, 'a budget has no unit of money')
  .refine(
    ({ projects, budgets }) => projects.every(({ costs }) => costs.length === budgets.length),
    'a project has not one cost for each budget',
  );

export type ReadCertificate = z.infer<typeof certificateSchema>;
/** A winner; or in the overrun and at the stop, of which only the price is known. */
export type ReadPurchase = ReadCertificate['stop'][number] & Partial<ReadCertificate['winners'][number]>;

function once(ids: readonly string[]): boolean {
  return new Set(ids).size === ids.length;
}
