import { describe, expect, it } from 'vitest';
import { formatFields, formatTable } from './format-table.js';
import { progressBar } from './progress-bar.js';

describe('a table', () => {
  it('aligns text left, numbers right, and shows nothing as a dash', () => {
    expect(
      formatTable(
        ['lab', 'weight', 'late'],
        [
          ['Zürich', 5, true],
          ['東京', 12, false],
          ['x', null, undefined],
        ],
      ),
    ).toBe(
      [
        'lab     weight  late',
        '──────  ──────  ────',
        'Zürich       5  yes',
        '東京        12  no',
        'x            –  –',
      ].join('\n'),
    );
  });

  it('says what is missing when there are no rows, and lets no control character reach the terminal', () => {
    expect(formatTable(['a'], [], 'nothing yet')).toBe('nothing yet');
    expect(
      formatTable(['a'], [['x\u001b[31m\nred']])
        .split('\n')
        .at(-1),
    ).toBe('x [31m red');
  });
});

it('fields stand one per line with their values aligned', () => {
  expect(formatFields({ name: 'Ada', 'e-mail': 'ada@x.example', note: null })).toBe(
    'name    Ada\ne-mail  ada@x.example\nnote    –',
  );
});

describe('a progress bar', () => {
  function drawn(isTerminal: boolean, times: number[]): string {
    let text = '';
    let nowMs = 0;
    const bar = progressBar(
      { isTerminal, columns: 80, write: (part) => (text += part) },
      'jobs',
      4,
      () => nowMs,
    );
    times.forEach((time, i) => {
      nowMs = time;
      bar.at(i + 1);
    });
    bar.done('fine');
    return text;
  }

  it('redraws one line of a terminal, not more often than eyes can see', () => {
    const text = drawn(true, [0, 10, 20, 200]);
    expect(text.match(/\r/g)).toHaveLength(3);
    expect(text).toContain('100 %  4/4  fine\n');
  });

  it('is a few plain lines elsewhere', () => {
    expect(drawn(false, [0, 10, 20, 200])).toBe('jobs: 1/4\njobs: 4/4 fine\n');
  });

  it('that stops claims no more than was reached', () => {
    let text = '';
    const bar = progressBar({ isTerminal: false, columns: 80, write: (part) => (text += part) }, 'jobs', 4);
    bar.at(2);
    bar.stopped('failed');
    expect(text).toBe('jobs: 2/4\njobs: 2/4 failed\n');
  });
});
