import type { Command } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { registerKeyCommands } from './key-commands.js';
import { registerLabCommands } from './lab-commands.js';
import { registerLoginCommands } from './login-commands.js';
import { registerMemberCommands } from './member-commands.js';
import { registerPeopleCommands } from './people-commands.js';

/** Logins, labs, members, people and keys. */
export function registerIdentityCommands(program: Command, io: CliIo): void {
  registerLoginCommands(program, io);
  registerLabCommands(program, io);
  registerMemberCommands(program, io);
  registerPeopleCommands(program, io);
  registerKeyCommands(program, io);
}
