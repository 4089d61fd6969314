import { Module } from '@nestjs/common';
import { ChargeJobs } from './gpu/charge-jobs.js';
import { FundRound } from './gpu/fund-round.js';
import { LendToOperations } from './gpu/lend-to-operations.js';
import { ReleaseSuite } from './gpu/release-suite.js';
import { ReserveSuites } from './gpu/reserve-suites.js';
import { Ledger } from './ledger/ledger.js';
import { Metering } from './metering/metering.js';
import { Policies } from './metering/policies.js';

const providers = [
  Ledger,
  ChargeJobs,
  FundRound,
  LendToOperations,
  Metering,
  Policies,
  ReleaseSuite,
  ReserveSuites,
];

/** The books, for every service that moves units: in one process all share one ledger, and so its commits. */
@Module({ providers, exports: providers })
export class LedgerModule {}
