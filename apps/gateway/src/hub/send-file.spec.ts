import { describe, expect, it } from 'vitest';
import { readRange } from './send-file.js';

describe('a range of bytes', () => {
  it.each([
    ['bytes=0-4', { start: 0, end: 4 }],
    ['bytes=5-', { start: 5 }],
    ['bytes=-3', { start: 7 }],
    ['bytes=-30', { start: 0 }],
    ['bytes=4-400', { start: 4, end: 9 }],
    ['bytes=10-', 'beyond'],
    ['bytes=-0', 'beyond'],
    ['bytes=5-4', undefined],
    ['bytes=0-1,4-5', undefined],
    ['lines=0-1', undefined],
    [undefined, undefined],
  ])('%s of ten bytes is %o', (header, expected) => {
    expect(readRange(header, 10)).toEqual(expected);
  });
});
