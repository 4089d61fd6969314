import { ProblemError, problemCodes, UnreachableError } from '@beamtime/contracts';
import type { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import type { CliIo } from './cli-io.js';
import { runCli } from './run-cli.js';
import { CheckFailed, UsageError } from './usage-error.js';

async function run(action: (io: CliIo) => unknown, ...argv: string[]) {
  const said = { out: '', err: '' };
  const register = (program: Command, io: CliIo) => {
    program
      .command('go')
      .description('go')
      .argument('[where]')
      .action(async () => {
        await action(io);
      });
  };
  const exitCode = await runCli(argv, '1.2.3', [{ title: 'Test', register }], {
    env: { BEAMTIME_URL: 'http://facility.example' },
    cwd: '/',
    openBrowser: () => undefined,
    stdout: (text) => (said.out += text),
    stderr: { isTerminal: false, columns: 80, write: (text) => (said.err += text) },
  });
  return { exitCode, ...said };
}

const problem = (code: keyof typeof problemCodes) =>
  new ProblemError({
    type: 't',
    title: 't',
    status: problemCodes[code].status,
    code,
    detail: 'What to do.',
    instance: 'req-1',
  });
const fail = (error: unknown) => () => {
  throw error;
};

describe('a result', () => {
  const show = (io: CliIo) => {
    io.note('on the way');
    io.progress('work', 2).done();
    io.show({ a: 1 }, () => 'a is 1');
  };

  it('is text for people, with what happens on the way on stderr', async () => {
    const { exitCode, out, err } = await run(show, 'go');
    expect({ exitCode, out }).toEqual({ exitCode: 0, out: 'a is 1\n' });
    expect(err).toContain('on the way\n');
  });

  it('is one JSON value and nothing else with --json', async () => {
    const { out, err } = await run(show, 'go', '--json');
    expect(JSON.parse(out)).toEqual({ a: 1 });
    expect(err).toBe('');
  });
});

it('shared options stand before or after the name of the command', async () => {
  const seen: unknown[] = [];
  await run((io) => seen.push(io.shared), '--json', '--as', 'ada@x.example', 'go');
  await run((io) => seen.push(io.shared), 'go', '--json', '--as', 'ada@x.example');
  const shared = { json: true, as: 'ada@x.example', url: undefined };
  expect(seen).toEqual([shared, shared]);
});

it('without a command the overview is the answer', async () => {
  const { exitCode, out } = await run(() => 1);
  expect(exitCode).toBe(0);
  expect(out).toContain('Where to begin');
});

describe('the exit code', () => {
  it.each([
    ['auth.required', 3],
    ['auth.forbidden', 3],
    ['request.invalid', 2],
    ['governance.invalid-suite', 2],
    ['resource.exists', 1],
    ['access.insufficient-units', 1],
    ['server.internal', 1],
    ['server.unavailable', 4],
  ] as const)('of the problem %s is %i', async (code, expected) => {
    const { exitCode, err } = await run(fail(problem(code)), 'go');
    expect(exitCode).toBe(expected);
    expect(err).toBe(
      `error: What to do. (${code})${problemCodes[code].status >= 500 ? ' [request req-1]' : ''}\n`,
    );
  });

  it('is 2 for wrong usage, 1 for a check that failed, 4 for a facility that is not there', async () => {
    expect((await run(fail(new UsageError('Say which lab')), 'go')).exitCode).toBe(2);
    expect((await run(fail(new CheckFailed('Broken')), 'go')).exitCode).toBe(1);
    const unreachable = await run(fail(new UnreachableError('refused')), 'go');
    expect(unreachable.exitCode).toBe(4);
    expect(unreachable.err).toContain('http://facility.example');
    expect((await run(() => 1, 'come')).exitCode).toBe(2);
    expect((await run(() => 1, 'go', '--far')).exitCode).toBe(2);
    expect((await run(() => 1, 'go', 'a', 'b')).exitCode).toBe(2);
  });

  it('is 0 for help and version, which go to stdout', async () => {
    expect(await run(() => 1, '--version')).toEqual({ exitCode: 0, out: '1.2.3\n', err: '' });
    const help = await run(() => 1, 'help', 'go');
    expect(help.exitCode).toBe(0);
    expect(help.out).toContain('--json');
  });
});

it('an error is one JSON problem on stderr with --json, also when the command line is wrong', async () => {
  const refused = await run(fail(problem('auth.forbidden')), 'go', '--json');
  expect(refused.out).toBe('');
  expect(JSON.parse(refused.err)).toMatchObject({ code: 'auth.forbidden', status: 403 });
  const wrong = await run(() => 1, 'go', '--far', '--json');
  expect(JSON.parse(wrong.err)).toMatchObject({ code: 'cli.usage' });
});

it('a file that is not there is told as such', async () => {
  const { readFileSync } = await import('node:fs');
  const { exitCode, err } = await run(() => readFileSync('/nowhere/at-all'), 'go');
  expect({ exitCode, err }).toEqual({ exitCode: 2, err: 'error: /nowhere/at-all does not exist\n' });
});
