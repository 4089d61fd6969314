import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { pabulibTallyInput } from './pabulib-tally-input.js';
import { PABULIB_LIMITS, type PabulibElection, PabulibReader } from './read-pabulib.js';

const good = `META
key;value
description;Two parks
num_projects;2
num_votes;3
budget;1331751,11
vote_type;approval
currency;PLN
PROJECTS
project_id;cost;votes;name;selected
A1;800000.50;2;"Park; ""green""";1
B2;700000;2;Pond;0
VOTES
voter_id;vote;age
1;A1,B2;30
2;B2;
3;A1;41
`;

function read(
  text: string,
  pieceLength = Number.POSITIVE_INFINITY,
): { election?: PabulibElection; problem?: string } {
  const reader = new PabulibReader();
  for (let at = 0; at < text.length; at += pieceLength) {
    const problem = reader.push(text.slice(at, at + pieceLength));
    if (problem) return { problem: problem.detail };
  }
  const election = reader.finish();
  return election.ok ? { election: election.value } : { problem: election.error.detail };
}

describe('a pabulib file', () => {
  it('is read with its quotes and decimal commas', () => {
    const { election } = read(good);
    expect(election?.budget).toBe('1331751,11');
    expect(election?.projects).toEqual([
      { id: 'A1', name: 'Park; "green"', cost: '800000.50', selected: '1' },
      { id: 'B2', name: 'Pond', cost: '700000', selected: '0' },
    ]);
    expect(election?.voters).toEqual([
      { id: '1', ballot: ['A1', 'B2'] },
      { id: '2', ballot: ['B2'] },
      { id: '3', ballot: ['A1'] },
    ]);
  });

  it('reads the same in pieces of any size, with a byte-order mark, with CRLF and without a last line end', () => {
    const { election } = read(good);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 80 }), fc.boolean(), fc.boolean(), (piece, mark, crlf) => {
        const text = `${mark ? '\uFEFF' : ''}${crlf ? good.replaceAll('\n', '\r\n') : good.trimEnd()}`;
        expect(read(text, piece).election).toEqual(election);
      }),
    );
  });

  it('may have names over several lines, and says the right line after them', () => {
    const long = good.replace('Pond', '"Pond\nwith\n""fish"""');
    expect(read(long).election?.projects[1]?.name).toBe('Pond\nwith\n"fish"');
    expect(read(long.replace('2;B2;', '2;ZZ;'), 7).problem).toBe(
      'line 18: voter "2" votes for the unknown project "ZZ"',
    );
  });

  it('may leave columns empty at the end, sections in lower case, blank lines and empty ballots', () => {
    const odd = good.replace('META', 'Meta;;').replace('VOTES', '\nvotes\n').replace('2;B2;', '2;;');
    expect(read(odd).election?.voters[1]).toEqual({ id: '2', ballot: [] });
  });

  it('counts a project once that a ballot names twice, and says so', () => {
    const { election } = read(good.replace('1;A1,B2', '1;A1,A1'));
    expect(election?.voters[0]?.ballot).toEqual(['A1']);
    expect(election?.warnings).toEqual(['line 15: voter "1" names project "A1" twice; counted once']);
  });

  it.each<[string, (text: string) => string, string]>([
    ['nothing', () => '', 'line 1: the file ends without a META section'],
    ['another format', () => 'a,b,c\n', 'line 1: the file must start with a META section'],
    [
      'no META',
      (t) => t.slice(t.indexOf('PROJECTS')),
      'line 1: the META section is missing; it must come before PROJECTS',
    ],
    [
      'no PROJECTS',
      (t) => t.slice(0, t.indexOf('PROJECTS')) + t.slice(t.indexOf('VOTES')),
      'line 9: the PROJECTS section is missing; it must come before VOTES',
    ],
    ['no VOTES', (t) => t.slice(0, t.indexOf('VOTES')), 'line 12: the file ends without a VOTES section'],
    [
      'the line VOTES lost',
      (t) => t.replace('VOTES\n', ''),
      'line 13: the line VOTES is missing before the header of its section',
    ],
    ['a second META', (t) => t.replace('PROJECTS', 'META'), 'line 9: a second META section'],
    ['no budget', (t) => t.replace('budget;', 'money;'), 'line 9: META names no budget'],
    [
      'a budget of words',
      (t) => t.replace('1331751,11', 'much'),
      'line 6: the budget must be an amount above zero, not "much"',
    ],
    ['no vote_type', (t) => t.replace('vote_type;', 'type;'), 'line 9: META names no vote_type'],
    [
      'a vote_type of its own',
      (t) => t.replace('approval', 'veto'),
      'line 7: vote_type "veto" is none of approval, ordinal, cumulative, scoring, choose-1',
    ],
    [
      'a negative cost',
      (t) => t.replace(';700000;', ';-700000;'),
      'line 12: project "B2" has a negative cost',
    ],
    [
      'a cost of words',
      (t) => t.replace(';700000;', ';dear;'),
      'line 12: project "B2" has the cost "dear", which is not an amount',
    ],
    ['a project twice', (t) => t.replace('B2;700000', 'A1;700000'), 'line 12: project id "A1" appears twice'],
    ['a voter twice', (t) => t.replace('2;B2;', '1;B2;'), 'line 16: voter id "1" appears twice'],
    [
      'an unknown project',
      (t) => t.replace('2;B2;', '2;B3;'),
      'line 16: voter "2" votes for the unknown project "B3"',
    ],
    [
      'too few projects',
      (t) => t.replace('num_projects;2', 'num_projects;3'),
      'line 13: num_projects declares 3 projects, but there are 2',
    ],
    [
      'too many projects',
      (t) => t.replace('num_projects;2', 'num_projects;1'),
      'line 12: more projects than the 1 that num_projects declares',
    ],
    [
      'too few ballots',
      (t) => t.replace('num_votes;3', 'num_votes;4'),
      'line 17: num_votes declares 4 ballots, but there are 3',
    ],
    [
      'too many ballots',
      (t) => t.replace('num_votes;3', 'num_votes;2'),
      'line 17: more ballots than the 2 that num_votes declares',
    ],
    [
      'a count of words',
      (t) => t.replace('num_votes;3', 'num_votes;few'),
      'line 5: num_votes must be a whole number, not "few"',
    ],
    [
      'a short line',
      (t) => t.replace('2;B2;', '2'),
      'line 16: has 1 columns, too few for the column vote of the header of VOTES',
    ],
    [
      'no column vote',
      (t) => t.replace('voter_id;vote', 'voter_id;ballot'),
      'line 14: the header of VOTES has no column vote',
    ],
    [
      'a quote never closed',
      (t) => t.replace(';Pond', ';"Pond'),
      'line 12: a quote is opened and never closed',
    ],
    [
      'a million columns',
      (t) => t.replace('2;B2;', `2;B2${';'.repeat(1e6)}`),
      'line 16: has more than 1000 columns',
    ],
  ])('with %s is refused in one line that names the line', (_, spoil, problem) => {
    expect(read(spoil(good), 100)).toEqual({ problem });
  });

  it('with an endless line is refused before it fills the memory', () => {
    const reader = new PabulibReader();
    const piece = 'x'.repeat(1024 * 1024);
    let pushed = 0;
    while (!reader.push(piece)) pushed++;
    expect(pushed * piece.length).toBeLessThanOrEqual(PABULIB_LIMITS.recordCharacters);
    expect(reader.push('more')?.detail).toMatch(/^line 1: is longer than/);
  });

  it('never throws, whatever it holds', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.constantFrom(';', '"', '\n', '\r', ',', 'META', 'VOTES', 'PROJECTS', 'key;value', '1', 'x'),
        ),
        (parts) => {
          expect(() => read(parts.join(''), 5)).not.toThrow();
          expect(() => read(good + parts.join(''), 5)).not.toThrow();
        },
      ),
    );
  });
});

describe('ballots of every type become supports and scores', () => {
  const typed = (type: string, points: boolean, ballots: string): string =>
    good
      .replace('vote_type;approval', `vote_type;${type}\nmax_length;3`)
      .replace('num_votes;3', 'num_votes;1')
      .replace('voter_id;vote;age', points ? 'voter_id;vote;points' : 'voter_id;vote')
      .replace(/1;A1,B2;30\n2;B2;\n3;A1;41/, ballots);
  const ballotOf = (text: string) => {
    const { election } = read(text);
    if (!election) throw new Error(read(text).problem);
    const { ballot, scores } =
      pabulibTallyInput(election, { name: 'phragmen', skip: true }, '').voters[0] ?? {};
    return { ballot, scores };
  };

  it.each<[string, boolean, string, object]>([
    ['approval', false, '1;B2,A1', { ballot: ['B2', 'A1'] }],
    ['choose-1', false, '1;B2', { ballot: ['B2'] }],
    ['ordinal', false, '1;B2,A1', { ballot: ['B2', 'A1'], scores: ['3', '2'] }],
    ['cumulative', true, '1;B2,A1;4,1', { ballot: ['B2', 'A1'], scores: ['4', '1'] }],
    ['scoring', true, '1;B2,A1;0,2.5', { ballot: ['A1'], scores: ['2.5'] }],
  ])('%s', (type, points, ballot, expected) => {
    expect(ballotOf(typed(type, points, ballot))).toEqual(expected);
  });

  it('points and ranks can be read as plain support', () => {
    for (const [type, ballot] of [
      ['cumulative', '1;B2,A1;4,1'],
      ['ordinal', '1;B2,A1'],
    ] as const) {
      const { election } = read(typed(type, type === 'cumulative', ballot));
      if (!election) throw new Error('not read');
      const rule = { name: 'phragmen', skip: true } as const;
      const [voter] = pabulibTallyInput(election, rule, '', { asApproval: true }).voters;
      expect(voter).toEqual({ id: '1', ballot: ['B2', 'A1'] });
    }
  });

  it('points that do not match the projects are refused', () => {
    expect(read(typed('cumulative', true, '1;B2,A1;4')).problem).toBe(
      'line 16: voter "1" gives 1 scores to 2 projects',
    );
    expect(read(typed('scoring', true, '1;B2;many')).problem).toBe(
      'line 16: voter "1" gives the score "many", which is not a number',
    );
  });
});
