import type { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { areas } from './areas.js';
import { createIo, type World } from './core/create-io.js';
import { createProgram, leaves } from './core/run-cli.js';

const world: World = {
  env: {},
  cwd: '/',
  stdout: () => undefined,
  openBrowser: () => undefined,
  stderr: { isTerminal: false, columns: 80, write: () => undefined },
};

function nameOf(command: Command): string {
  return command.parent === null ? command.name() : `${nameOf(command.parent)} ${command.name()}`;
}

function helpOf(command: Command): string {
  let text = '';
  command.configureOutput({ writeOut: (part) => (text += part) });
  command.outputHelp();
  return text;
}

const program = createProgram('0', areas, createIo(world));
const commands = leaves(program).map((command) => [nameOf(command), command] as const);

describe('every command', () => {
  it.each(commands)(
    '%s says what it does, shows an example that names it, and speaks JSON',
    (name, command) => {
      expect(command.description().length).toBeGreaterThan(10);
      const help = helpOf(command);
      const example = help.split('\n').find((line) => line.trim().startsWith(`$ ${name}`));
      expect(example, `an example that begins with “$ ${name}”`).toBeDefined();
      expect(help).toContain('--json');
      for (const option of command.options) expect(option.description, option.flags).not.toBe('');
      for (const argument of command.registeredArguments)
        expect(argument.description, argument.name()).not.toBe('');
    },
  );

  it('has an example whose options it really takes', () => {
    for (const [name, command] of commands) {
      const known = new Set(command.options.flatMap((option) => [option.long, option.short]));
      for (const line of helpOf(command)
        .split('\n')
        .filter((one) => one.includes(`$ ${name}`))) {
        const own = line.split(/[|#]/)[0] ?? '';
        for (const [flag] of own.matchAll(/(?<=\s)--?[a-z][a-z-]*/g))
          expect(known, `${flag} in “${line.trim()}”`).toContain(flag);
      }
    }
  });
});

it('the overview tells every role where to begin, and what exit codes mean', () => {
  const help = helpOf(program);
  for (const word of [
    'researcher',
    'lab delegate',
    'reviewer',
    'cluster operator',
    'secretariat',
    'auditor',
    'Exit codes',
  ])
    expect(help).toContain(word);
});

it('every command stands under a heading of its own area', () => {
  for (const command of program.commands) expect(command.helpGroup(), command.name()).not.toBe('');
});
