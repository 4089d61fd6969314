export { ChangeAllocation } from './allocations/change-allocation.js';
export { CreateKey } from './allocations/create-key.js';
export { ReadAllocations } from './allocations/read-allocations.js';
export { AcceptAward } from './applications/accept-award.js';
export type { Application } from './applications/application-store.js';
export { Apply } from './applications/apply.js';
export { ChangeDraft } from './applications/change-draft.js';
export { DecideApplication } from './applications/decide-application.js';
export { DeclareConflict } from './applications/declare-conflict.js';
export { ReadApplications } from './applications/read-applications.js';
export { Recommend } from './applications/recommend.js';
export { SubmitApplication } from './applications/submit-application.js';
export { TakeReview } from './applications/take-review.js';
export { WithdrawApplication } from './applications/withdraw-application.js';
export {
  allocationTransitions,
  applicationTransitions,
} from './domain/application/application-state.js';
export * from './domain/ledger/account-owner.js';
export { type HoldState, holdTransitions, type Outcome } from './domain/ledger/hold-state.js';
export type * from './domain/ledger/ledger-command.js';
export { ChargeJobs, type JobHold, type JobSettlement } from './gpu/charge-jobs.js';
export { FundRound } from './gpu/fund-round.js';
export { LendToOperations, type Loan } from './gpu/lend-to-operations.js';
export { ReleaseSuite } from './gpu/release-suite.js';
export { type GpuSecondsReport, reportGpuSeconds } from './gpu/report-gpu-seconds.js';
export { type AdoptedSuite, ReserveSuites } from './gpu/reserve-suites.js';
export type { LedgerOutcome } from './ledger/apply-commands.js';
export { type BooksCheck, checkBooks, type UnitTotals } from './ledger/check-books.js';
export { Ledger } from './ledger/ledger.js';
export type { AccountBalance, GrantBalance } from './ledger/read-accounts.js';
export type { JournalLine, JournalQuery } from './ledger/read-journal.js';
export { reconcileHolds } from './ledger/reconcile-holds.js';
export { LedgerModule } from './ledger.module.js';
export { Metering, requestHoldTtlMs, type UseHold, type UseRequest } from './metering/metering.js';
export { Policies } from './metering/policies.js';
export { type Actor, API_KEYS, type ApiKeys, PEOPLE, type People } from './ports.js';
export { accessSchema } from './postgres/access-schema.js';
export { AccessReconciler } from './reconciler.js';
