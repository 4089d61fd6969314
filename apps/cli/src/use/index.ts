import type { Command } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { registerCaptureCommand } from './capture-command.js';
import { registerOutputCommands } from './output-commands.js';

/** Asking models, with the key of an allocation: what they say, and what happens inside. */
export function registerUseCommands(program: Command, io: CliIo): void {
  registerOutputCommands(program, io);
  registerCaptureCommand(program, io);
}
