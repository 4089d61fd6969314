import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CorpusCheck, type CorpusFormat } from './check-lines.js';
import type { TextFault } from './check-text.js';

function check(format: CorpusFormat, text: string, cuts: readonly number[] = []): TextFault | undefined {
  const bytes = new TextEncoder().encode(text);
  const corpus = new CorpusCheck(format);
  let from = 0;
  for (const cut of [...cuts, bytes.length].sort((a, b) => a - b)) {
    const to = Math.min(cut, bytes.length);
    const fault = corpus.take(bytes.subarray(from, to));
    if (fault !== undefined) return fault;
    from = to;
  }
  return corpus.end();
}

const someText = fc
  .string({ unit: 'binary', minLength: 1 })
  .filter((text) => text.trim() !== '' && !text.includes('\0'));
const cuts = fc.array(fc.nat(200), { maxLength: 6 });

describe('a corpus of JSON lines', () => {
  it('is accepted wherever the chunks are cut, with blank lines or without', () => {
    fc.assert(
      fc.property(fc.array(someText, { minLength: 1, maxLength: 5 }), cuts, (texts, where) => {
        const lines = texts.map((text) => `${JSON.stringify({ text, id: 1 })}\n`).join('\r\n \n');
        expect(check('jsonl', lines, where)).toBeUndefined();
      }),
    );
  });

  it('is refused at its first bad line, wherever the chunks are cut', () => {
    const bad = fc.constantFrom(
      '{"txt": "a"}',
      '"text"',
      'null',
      '[]',
      '{"text": 3}',
      '{"text": "half',
      String.raw`{"text": "\ud800"}`,
      String.raw`{"text": "nul \u0000"}`,
    );
    fc.assert(
      fc.property(fc.array(someText, { maxLength: 4 }), bad, cuts, (texts, line, where) => {
        const before = texts.map((text) => `${JSON.stringify({ text })}\n`).join('');
        expect(check('jsonl', `${before}${line}\n{"text": "more"}`, where)).toEqual({
          offset: new TextEncoder().encode(before).length,
          why: `line ${texts.length + 1} is not a JSON object with text in the field "text"`,
        });
      }),
    );
  });

  it('is refused when none of its documents has anything to read', () => {
    expect(check('jsonl', '{"text": ""}\n{"text": " \\n"}\n')).toEqual({
      offset: 0,
      why: 'no line has any text in "text"',
    });
  });
});

describe('a corpus of minimal pairs', () => {
  const pair = (good: string, bad: string): string =>
    JSON.stringify({ sentence_good: good, sentence_bad: bad, field: 'syntax', UID: 'x' });

  it('is accepted as BLiMP has it', () => {
    expect(check('pairs', `${pair('The cats sleep.', 'The cats sleeps.')}\n`)).toBeUndefined();
  });

  it('is refused when a pair lacks a sentence or has the same twice', () => {
    for (const line of [pair('A.', 'A.'), pair('A.', ' '), '{"sentence_good": "A."}', '{"text": "A."}']) {
      expect(check('pairs', `${pair('A.', 'B.')}\n${line}`)).toMatchObject({
        why: 'line 2 is not a JSON object with two different sentences in "sentence_good" and "sentence_bad"',
      });
    }
    expect(check('pairs', `\uFEFF${pair('A.', 'B.')}`)).toMatchObject({ offset: 0 });
  });

  it('is refused when it holds more pairs than the runner takes in one task', () => {
    const most = `${pair('A.', 'B.')}\n`.repeat(100_000);
    expect(check('pairs', most)).toBeUndefined();
    expect(check('pairs', `${most}${pair('A.', 'B.')}`)?.why).toBe(
      'line 100001 is beyond the 100,000 pairs of one set',
    );
  });
});

describe('a corpus of one text', () => {
  it('is not read as lines', () => {
    expect(check('text', '{"no": 1}\n')).toBeUndefined();
  });
});
