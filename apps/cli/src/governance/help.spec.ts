import { charterSchema, proposalBodySchema, suiteDesignSchema } from '@beamtime/contracts';
import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { CliIo } from '../core/cli-io.js';
import { registerGovernanceCommands } from './index.js';
import { bodyOf } from './proposal-commands.js';

function helpOf(...path: string[]): string {
  const program = new Command();
  registerGovernanceCommands(program, {} as CliIo);
  let command: Command | undefined = program;
  for (const name of path) command = command?.commands.find((one) => one.name() === name);
  let text = '';
  command?.configureOutput({ writeOut: (piece) => (text += piece) });
  command?.outputHelp();
  return text;
}

/** The indented lines after a heading: what somebody would copy. */
function sampleAfter(help: string, heading: RegExp): unknown {
  const lines = help.split('\n');
  const start = lines.findIndex((line) => heading.test(line)) + 1;
  const end = lines.findIndex((line, index) => index > start && !line.startsWith('  '));
  return parse(lines.slice(start, end === -1 ? undefined : end).join('\n'));
}

describe('the samples in the help', () => {
  it('are documents that the facility takes', () => {
    const charter = sampleAfter(helpOf('round', 'create'), /^A charter/);
    expect({ ...charterSchema.parse(charter), schedule: {} }).toEqual({
      ...charterSchema.parse({}),
      ballot: 'approval',
    });
    const help = helpOf('proposal', 'create');
    expect(suiteDesignSchema.safeParse(sampleAfter(help, /^A suite/)).success).toBe(true);
    for (const heading of [/^A policy/, /^A motion/]) {
      expect(proposalBodySchema.safeParse(bodyOf(sampleAfter(help, heading))).error).toBeUndefined();
    }
  });
});
