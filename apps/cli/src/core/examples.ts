import type { Command } from 'commander';

/** Teaches a command by what one would type. */
export function examples(command: Command, ...lines: readonly string[]): Command {
  return command.addHelpText(
    'after',
    `\n${lines.length === 1 ? 'Example' : 'Examples'}:\n${lines.map((line) => `  $ beamtime ${line}`).join('\n')}`,
  );
}
