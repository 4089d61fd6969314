import type { Command } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { registerTallyCommand } from './tally-command.js';
import { registerVerifyCommand } from './verify-command.js';

/** Counting and checking that need no facility. */
export function registerTallyCommands(program: Command, io: CliIo): void {
  registerTallyCommand(program, io);
  registerVerifyCommand(program, io);
}
