import type { Command } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { registerAgentCommands } from './agent-commands.js';
import { registerClusterCommands } from './cluster-commands.js';
import { registerFileCommands } from './file-commands.js';
import { registerJobCommands } from './job-commands.js';
import { registerJobsCommand } from './jobs-command.js';
import { registerQuotaCommands } from './quota-commands.js';
import { registerSubmitCommands } from './submit-commands.js';

/** Clusters, their agents, jobs and their quotas, and the files of tasks. */
export function registerSchedulingCommands(program: Command, io: CliIo): void {
  registerClusterCommands(program, io);
  registerAgentCommands(program, io);
  registerJobsCommand(program, io);
  const job = registerJobCommands(program, io);
  registerSubmitCommands(job, io);
  registerFileCommands(program, io);
  registerQuotaCommands(program, io);
}
