import { type ContextSchema, sqlMigration } from '@beamtime/platform';
import {
  AllocationEventRow,
  AllocationRow,
  ApplicationEventRow,
  ApplicationRow,
  ConflictRow,
  PolicyRow,
  ReviewRow,
} from './application-rows.js';
import { applicationTables } from './application-tables.js';
import { ledgerFunctions } from './ledger-functions.js';
import { AccountGrantRow, AccountRow, HoldRow, JournalEntryRow, JournalRow } from './ledger-rows.js';
import { ledgerSettleAll } from './ledger-settle-all.js';
import { ledgerTables } from './ledger-tables.js';

/** The PostgreSQL schema of the access context. */
export const accessSchema: ContextSchema = {
  context: 'access',
  entities: [
    AccountRow,
    AccountGrantRow,
    JournalRow,
    JournalEntryRow,
    HoldRow,
    ApplicationRow,
    ApplicationEventRow,
    ReviewRow,
    ConflictRow,
    AllocationRow,
    AllocationEventRow,
    PolicyRow,
  ],
  migrations: [
    sqlMigration('access-0001-ledger', 1_795_000_050_001, ledgerTables + ledgerFunctions),
    sqlMigration('access-0002-applications', 1_795_000_050_002, applicationTables),
    sqlMigration('access-0042-holds-end-together', 1_795_000_050_042, ledgerSettleAll),
  ],
};
