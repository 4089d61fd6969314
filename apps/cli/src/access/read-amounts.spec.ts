import { describe, expect, it } from 'vitest';
import { UsageError } from '../core/usage-error.js';
import { readAmounts, readTime } from './read-amounts.js';

describe('amounts of units', () => {
  it('are written by name, short name and power of a thousand', () => {
    expect(readAmounts(['tokens=200k', 'bytes=1.5M', 'gpu_seconds=3600'])).toEqual([
      { unit: 'output_tokens', amount: 200_000 },
      { unit: 'activation_bytes', amount: 1_500_000 },
      { unit: 'gpu_seconds', amount: 3_600 },
    ]);
  });

  it.each(['tokens', 'tokens=', 'tokens=0', 'tokens=-5', 'euros=5', 'tokens=5x', ''])(
    'are not “%s”',
    (text) => {
      expect(() => readAmounts([text])).toThrow(UsageError);
    },
  );
});

describe('a time', () => {
  const now = new Date('2026-01-01T00:00:00Z');
  it('is a day, a time, or a span from now', () => {
    expect(readTime('2026-12-31', now)).toBe('2026-12-31T00:00:00.000Z');
    expect(readTime('2026-12-31T12:00:00+02:00', now)).toBe('2026-12-31T10:00:00.000Z');
    expect(readTime('30d', now)).toBe('2026-01-31T00:00:00.000Z');
    expect(() => readTime('soon', now)).toThrow(UsageError);
  });
});
