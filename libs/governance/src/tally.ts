/** The tally engine: pure, needs no server. Entered as `@beamtime/governance/tally`. */

export type { CountedBallot } from './domain/count-outcome.js';
export { type CountOutcome, countRound } from './domain/count-round.js';
export type { FrozenRound } from './domain/frozen-round.js';
export * from './domain/report/render-tally-report.js';
export { canonicalText } from './domain/tally/canonical-text.js';
export * from './domain/tally/certificate.js';
export * from './domain/tally/counterfactuals.js';
export * from './domain/tally/double-majority.js';
export * from './domain/tally/explain-tally.js';
export { matchElection } from './domain/tally/match-election.js';
export * from './domain/tally/pabulib-tally-input.js';
export { decimalText, parseRational, type Rational, rationalText } from './domain/tally/rational.js';
export * from './domain/tally/read-pabulib.js';
export * from './domain/tally/schulze.js';
export { sha256 } from './domain/tally/sha256.js';
export * from './domain/tally/tally.js';
export * from './domain/tally/tally-input.js';
export { type Verdict, verifyCertificate } from './verify/verify-certificate.js';
export { type DecisionRecord, verifyDecision } from './verify/verify-decision.js';
