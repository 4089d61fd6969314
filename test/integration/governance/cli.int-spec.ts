import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { areas } from '../../../apps/cli/src/areas.js';
import { runCli } from '../../../apps/cli/src/core/run-cli.js';
import { Consortium, designOf, type LabForTest, type Person } from './consortium.js';

let consortium: Consortium;
let a: LabForTest;
let b: LabForTest;
let folder: string;
beforeAll(async () => {
  consortium = await Consortium.open();
  a = await consortium.lab('lab-a');
  b = await consortium.lab('lab-b');
  folder = mkdtempSync(join(tmpdir(), 'beamtime-cli-'));
});
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await consortium.close();
});

async function beamtime(
  person: Person | null,
  ...argv: string[]
): Promise<{ exit: number; out: string; err: string }> {
  let out = '';
  let errors = '';
  const exit = await runCli(argv, '0', areas, {
    env: {
      BEAMTIME_URL: consortium.service.url,
      BEAMTIME_HOME: folder,
      ...(person === null ? {} : { BEAMTIME_TOKEN: person.token }),
    },
    cwd: folder,
    openBrowser: () => undefined,
    stdout: (text) => {
      out += text;
    },
    stderr: {
      isTerminal: false,
      columns: 100,
      write: (text) => {
        errors += text;
      },
    },
  });
  return { exit, out, err: errors };
}

async function json(person: Person | null, ...argv: string[]): Promise<Record<string, unknown>> {
  const { exit, out, err } = await beamtime(person, ...argv, '--json');
  expect([exit, err]).toEqual([0, '']);
  return JSON.parse(out) as Record<string, unknown>;
}

describe('a round from the command line', () => {
  it('is planned, funded, proposed to, deliberated, voted on, counted and verified', async () => {
    const office = consortium.secretariat;
    writeFileSync(join(folder, 'charter.yaml'), 'rule:\n  name: equal-shares\n  completion: add1u\n');
    for (const name of ['suite-one', 'suite-two']) {
      writeFileSync(join(folder, `${name}.json`), JSON.stringify(designOf(name, { models: 2 })));
    }
    const round = await json(office, 'round', 'create', 'First round', '--charter', 'charter.yaml');
    await json(a.delegate, 'pledge', 'latest', '30m');
    await json(b.delegate, 'pledge', 'latest', '1800s', '--lab', 'lab-b');
    await json(office, 'round', 'open-proposals', 'latest');
    const one = await json(a.researcher, 'proposal', 'create', 'suite-one.json');
    await json(b.researcher, 'proposal', 'create', 'suite-two.json', '--round', String(round['roundId']));
    await json(office, 'round', 'deliberate', 'latest', '--reason', 'Enough proposals');
    await json(b.researcher, 'proposal', 'comment', String(one['proposalId']), 'Why not three seeds?');
    writeFileSync(join(folder, 'suite-one.json'), JSON.stringify(designOf('suite-one', { models: 1 })));
    await json(
      a.researcher,
      'proposal',
      'amend',
      String(one['proposalId']),
      'suite-one.json',
      '--note',
      'Cheaper',
    );
    const shown = await beamtime(null, 'proposal', 'show', String(one['proposalId']));
    expect(shown.out).toMatch(/models\s+1/);
    const history = (await json(
      null,
      'proposal',
      'history',
      String(one['proposalId']),
    )) as unknown as unknown[];
    expect(history).toHaveLength(2);
    await json(office, 'round', 'open-vote', 'latest');

    const first = await beamtime(a.delegate, 'vote', 'latest', '--approve', 'suite-two');
    expect(first.out).toMatch(/is in the box/);
    const second = await beamtime(a.delegate, 'vote', 'latest', '--approve', 'suite-one,suite-two');
    expect(second.out).toMatch(/takes the place of the one before/);
    await json(b.delegate, 'vote', 'latest', '--approve', 'suite-two', '--for', 'lab-b');
    const early = await beamtime(office, 'ballots', 'latest');
    expect([early.exit, early.err]).toEqual([3, expect.stringMatching(/secret until the vote closes/)]);
    const stranger = await beamtime(a.researcher, 'vote', 'latest', '--approve', 'suite-one');
    expect([stranger.exit, stranger.err]).toEqual([3, expect.stringMatching(/you have no vote/)]);

    await json(office, 'round', 'close', 'latest');
    await consortium.decided(round as unknown as Parameters<Consortium['decided']>[0]);
    expect((await beamtime(null, 'round', 'result', 'latest')).out).toMatch(/adopted: Suite suite-/);
    for (const [name, file] of [
      ['certificate', 'certificate.json'],
      ['export', 'round.pb'],
      ['report', 'report.html'],
    ] as const) {
      expect((await beamtime(null, 'round', name, 'latest', '--out', file)).exit).toBe(0);
    }
    const verified = await json(null, 'verify', 'certificate.json', 'round.pb');
    expect(verified['valid']).toBe(true);
    const text = readFileSync(join(folder, 'certificate.json'), 'utf8');
    writeFileSync(join(folder, 'forged.json'), text.replace(/"amounts":\["(\d)/, '"amounts":["9$1'));
    expect((await beamtime(null, 'verify', 'forged.json')).exit).toBe(1);
    const recount = await json(null, 'round', 'recount', 'latest');
    expect(recount['differences']).toEqual([]);
    const ballots = (await json(null, 'ballots', 'latest')) as unknown as unknown[];
    expect(ballots).toHaveLength(2);
    const suites = (await json(null, 'round', 'suites', 'latest')) as unknown as { suiteId: string }[];
    const released = await json(office, 'round', 'release', suites[0]?.suiteId ?? '', '--reason', 'Trained');
    expect(released['state']).toBe('released');
  });

  it('says what is wrong with a charter or a file', async () => {
    writeFileSync(join(folder, 'bad.yaml'), 'rule: {name: schulze}\nballot: points\n');
    const refused = await beamtime(consortium.secretariat, 'round', 'create', 'Bad', '--charter', 'bad.yaml');
    expect([refused.exit, refused.err]).toEqual([
      2,
      'error: charter.ballot: schulze takes ranking ballots, not points (governance.invalid-charter)\n',
    ]);
    const missing = await beamtime(
      consortium.secretariat,
      'round',
      'create',
      'Bad',
      '--charter',
      'nowhere.yaml',
    );
    expect(missing.exit).toBe(2);
    writeFileSync(join(folder, 'broken.yaml'), 'rule: [unclosed');
    const broken = await beamtime(
      consortium.secretariat,
      'round',
      'create',
      'Bad',
      '--charter',
      'broken.yaml',
    );
    expect(broken.err).toMatch(/neither YAML nor JSON/);
  });
});
