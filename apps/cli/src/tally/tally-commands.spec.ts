import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCli } from '../core/run-cli.js';
import { registerTallyCommands } from './index.js';

const pb = `META
key;value
description;Three suites
num_projects;3
num_votes;3
budget;90
vote_type;approval
currency;hours
PROJECTS
project_id;cost;name
A;30;Attention
B;60;Bytes
C;40;Curriculum
VOTES
voter_id;vote
1;A,B
2;A,B
3;C
`;

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tally-'));
  writeFileSync(join(folder, 'vote.pb'), pb);
});
afterAll(() => rmSync(folder, { recursive: true }));

async function beamtime(...argv: string[]) {
  let out = '';
  let err = '';
  const areas = [{ title: 'Counting', register: registerTallyCommands }];
  const exitCode = await runCli(argv, '0', areas, {
    env: {},
    cwd: folder,
    stdout: (text) => {
      out += text;
    },
    openBrowser: () => undefined,
    stderr: {
      isTerminal: false,
      columns: 80,
      write: (text) => {
        err += text;
      },
    },
  });
  return { exitCode, out, err };
}

describe('beamtime tally', () => {
  it('prints who won, what each paid and why the others lost', async () => {
    const { exitCode, out } = await beamtime('tally', 'vote.pb');
    expect(exitCode).toBe(0);
    expect(out).toContain('Method of Equal Shares');
    expect(out).toMatch(/1\s+A\s+Attention\s+30\s+2\s+15/);
    expect(out).toMatch(/C\s+Curriculum\s+40\s+1\s+Its supporters had only 30 of 40 hours left together\./);
  });

  it('prints JSON with winners, cost, budget, rule, rounds, ties and the certificate', async () => {
    const { out } = await beamtime('tally', 'vote.pb', '--rule', 'greedy', '--json');
    expect(JSON.parse(out)).toMatchObject({
      winners: ['A', 'B'],
      cost: 90,
      budget: 90,
      rule: 'greedy',
      rounds: 1,
      ties: [{ round: 1, tied: ['A', 'B'], chosen: 'A', by: 'cost' }],
      certificate: { format: 'beamtime-tally-certificate/2' },
    });
  });

  it('takes greedy with skip and Phragmén without unless told otherwise', async () => {
    const winners = async (...options: string[]) =>
      JSON.parse((await beamtime('tally', 'vote.pb', '--json', ...options)).out).winners;
    writeFileSync(join(folder, 'tight.pb'), pb.replace('budget;90', 'budget;70'));
    const tight = async (...options: string[]) =>
      JSON.parse((await beamtime('tally', 'tight.pb', '--json', ...options)).out).winners;
    expect(await winners('--rule', 'greedy')).toEqual(['A', 'B']);
    expect(await tight('--rule', 'greedy')).toEqual(['A', 'C']);
    expect(await tight('--rule', 'greedy', '--no-skip')).toEqual(['A']);
    expect(await tight('--rule', 'phragmen')).toEqual(['A', 'C']);
    expect(await tight('--rule', 'greedy', '--threshold', '2')).toEqual(['A']);
  });

  it.each([
    ['a negative cost', pb.replace('C;40', 'C;-40'), 'line 13: project "C" has a negative cost'],
    ['an unknown project', pb.replace('3;C', '3;D'), 'line 18: voter "3" votes for the unknown project "D"'],
    ['a section missing', pb.slice(0, pb.indexOf('VOTES')), 'line 13: the file ends without a VOTES section'],
  ])('refuses a file with %s in one line, with exit code 2', async (_, text, problem) => {
    const path = join(folder, 'bad.pb');
    writeFileSync(path, text);
    const { exitCode, out, err } = await beamtime('tally', 'bad.pb');
    expect({ exitCode, out, err }).toEqual({ exitCode: 2, out: '', err: `error: ${path}: ${problem}\n` });
  });

  it.each([
    [['tally', 'nowhere.pb'], /does not exist/],
    [['tally', 'vote.pb', '--rule', 'lottery'], /--rule must be one of equal-shares, phragmen, greedy/],
    [['tally', 'vote.pb', '--completion', 'all'], /--completion must be one of/],
    [['tally', 'vote.pb', '--threshold', 'many'], /threshold/],
    [['verify', 'vote.pb'], /is not JSON/],
  ])('%s is bad usage', async (argv, reason) => {
    const { exitCode, err } = await beamtime(...argv);
    expect(exitCode).toBe(2);
    expect(err).toMatch(reason);
  });
});

describe('beamtime verify', () => {
  it('accepts a certificate, and the result it came in, also beside its election', async () => {
    await beamtime(
      'tally',
      'vote.pb',
      '--completion',
      'add1',
      '--certificate',
      'c.json',
      '--report',
      'r.html',
    );
    const { out } = await beamtime('tally', 'vote.pb', '--completion', 'add1', '--json');
    writeFileSync(join(folder, 'result.json'), out);
    for (const file of ['c.json', 'result.json']) {
      expect(await beamtime('verify', file, 'vote.pb')).toMatchObject({ exitCode: 0, err: '' });
    }
    expect(JSON.parse((await beamtime('verify', 'c.json', '--json')).out)).toMatchObject({
      valid: true,
      voters: 3,
    });
    expect(readFileSync(join(folder, 'r.html'), 'utf8')).toContain('Who got what');
  });

  it('rejects with exit code 1 what was tampered with, what is about another election, and other winners', async () => {
    await beamtime('tally', 'vote.pb', '--certificate', 'c.json');
    const text = readFileSync(join(folder, 'c.json'), 'utf8');
    writeFileSync(join(folder, 'tampered.json'), text.replace('Attention', 'Attentions'));
    expect(await beamtime('verify', 'tampered.json')).toMatchObject({
      exitCode: 1,
      err: 'error: the certificate is not valid: the content does not match its digest\n',
    });
    writeFileSync(join(folder, 'other.pb'), pb.replace('3;C', '3;A'));
    const other = await beamtime('verify', 'c.json', 'other.pb', '--json');
    expect(other.exitCode).toBe(1);
    expect(JSON.parse(other.out)).toEqual({
      valid: false,
      reason: 'the certificate gives voter 3 another ballot or weight',
    });
    const result = { winners: ['C'], certificate: JSON.parse(text) };
    writeFileSync(join(folder, 'swapped.json'), JSON.stringify(result));
    expect((await beamtime('verify', 'swapped.json')).exitCode).toBe(1);
  });
});
