import { units } from '@beamtime/kernel';
import { z } from 'zod';
import { idText, isoTime } from './endpoint.js';
import { scopeSchema } from './roles.js';

/** Words that applications, allocations and the books share on the wire. */

/** Of one unit in one step; far below 2^53, so that sums stay exact in every language. */
export const unitsAtMost = 100_000_000_000_000;
export const unitSchema = z.enum(units).describe('What is counted');
export const unitAmount = z.number().int().min(1).max(unitsAtMost).describe('A whole number of units');
export const unitSum = z.number().int().describe('A whole number of units');

export const unitAmountSchema = z.object({ unit: unitSchema, amount: unitAmount });
export type UnitAmount = z.output<typeof unitAmountSchema>;
export const unitAmounts = z
  .array(unitAmountSchema)
  .min(1)
  .max(units.length)
  .refine((list) => new Set(list.map((one) => one.unit)).size === list.length, 'name each unit once')
  .describe('Amounts, each unit once');

export const modelPattern = z
  .union([z.literal('*'), idText('sui'), idText('mdl')])
  .describe('`*` for every model, a suite id for its models, or a model id');
export const modelPatterns = z.array(modelPattern).min(1).max(200);
export const scopeList = z
  .array(scopeSchema)
  .min(1)
  .refine((list) => new Set(list).size === list.length, 'name each scope once');

/** One transition, as its history keeps it. */
export const lifecycleEventSchema = z.object({
  action: z.string(),
  from: z.string().nullable(),
  to: z.string(),
  actor: z.string().nullable().describe('Null where the caller may not learn who it was'),
  reason: z.string().nullable(),
  at: isoTime,
});
