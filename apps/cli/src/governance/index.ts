import type { Command } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { registerBallotCommands } from './ballot-commands.js';
import { registerPledgeCommand } from './pledge-command.js';
import { registerPolicyCommands } from './policy-commands.js';
import { registerProposalCommands } from './proposal-commands.js';
import { registerResultCommands } from './result-commands.js';
import { registerRoundCommands } from './round-commands.js';

/** Rounds, pledges, proposals, ballots and policies. */
export function registerGovernanceCommands(program: Command, io: CliIo): void {
  const round = registerRoundCommands(program, io);
  registerResultCommands(round, io);
  registerPledgeCommand(program, io);
  registerProposalCommands(program, io);
  registerBallotCommands(program, io);
  registerPolicyCommands(program, io);
}
