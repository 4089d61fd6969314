/**
 * Checks the records of decisions that share out no budget: `beamtime-single-winner/1` (Schulze) and
 * `beamtime-double-majority/1`. It shares no code with the rules: its own fractions, and strongest paths by searching
 * the defeats from the strongest down instead of relaxing them.
 */

import type { DoubleMajorityInput, DoubleMajorityOutcome } from '../domain/tally/double-majority.js';
import type { SchulzeInput, SchulzeOutcome } from '../domain/tally/schulze.js';
import { canonicalText, demand, sha256, Wrong } from './audit-arithmetic.js';
import { auditMajorities } from './audit-majorities.js';
import { auditSingleWinner } from './audit-single-winner.js';

export type DecisionVerdict =
  | { readonly valid: true; readonly says: string }
  | { readonly valid: false; readonly reason: string };

export interface SingleWinnerRecord {
  readonly format: 'beamtime-single-winner/1';
  readonly input: SchulzeInput;
  readonly outcome: SchulzeOutcome;
  readonly sha256: string;
}
export interface DoubleMajorityRecord {
  readonly format: 'beamtime-double-majority/1';
  readonly questions: readonly {
    readonly proposal: string;
    readonly input: DoubleMajorityInput;
    readonly outcome: DoubleMajorityOutcome;
  }[];
  readonly sha256: string;
}
export type DecisionRecord = SingleWinnerRecord | DoubleMajorityRecord;

/** Whether what the record says follows from the ballots in it. */
export function verifyDecision(record: DecisionRecord): DecisionVerdict {
  try {
    const { sha256: digest, ...body } = record;
    demand(sha256(canonicalText(body)) === digest, 'the content does not match its digest');
    if (record.format === 'beamtime-double-majority/1') {
      for (const { proposal, input, outcome } of record.questions) auditMajorities(proposal, input, outcome);
      return { valid: true, says: `${record.questions.length} questions, both majorities of each` };
    }
    auditSingleWinner(record.input, record.outcome);
    return {
      valid: true,
      says: `${record.outcome.winner} wins over ${record.outcome.losers.length} options, ${record.input.ballots.length} ballots`,
    };
  } catch (error) {
    if (error instanceof Wrong) return { valid: false, reason: error.message };
    // A record of another shape stumbles somewhere: that is a no, not a crash.
    return { valid: false, reason: `it is not shaped like a ${record.format}` };
  }
}
