import { type ContextSchema, sqlMigration } from '@beamtime/platform';
import { ledgerFunctions } from './ledger-functions.js';
import { AccountGrantRow, AccountRow, HoldRow, JournalEntryRow, JournalRow } from './ledger-rows.js';
import { ledgerTables } from './ledger-tables.js';

/** The PostgreSQL schema of the access context. */
export const accessSchema: ContextSchema = {
  context: 'access',
  entities: [AccountRow, AccountGrantRow, JournalRow, JournalEntryRow, HoldRow],
  migrations: [sqlMigration('access-0001-ledger', 1_795_000_050_001, ledgerTables + ledgerFunctions)],
};
