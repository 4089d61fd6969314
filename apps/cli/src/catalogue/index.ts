import type { Command } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { registerCorpusCommands } from './corpus-commands.js';
import { registerModelCommands } from './model-commands.js';

export function registerCatalogueCommands(program: Command, io: CliIo): void {
  registerCorpusCommands(program, io);
  registerModelCommands(program, io);
}
