import type { Command } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { registerAllocationCommands } from './allocation-commands.js';
import { registerApplicationCommands } from './application-commands.js';
import { registerBooksCommands } from './books-commands.js';

/** Applications, allocations and the books. */
export function registerAccessCommands(program: Command, io: CliIo): void {
  registerApplicationCommands(program, io);
  registerAllocationCommands(program, io);
  registerBooksCommands(program, io);
}
