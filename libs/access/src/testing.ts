export { LedgerModel } from './domain/ledger/ledger-model.js';
export { applyCommands } from './ledger/apply-commands.js';
