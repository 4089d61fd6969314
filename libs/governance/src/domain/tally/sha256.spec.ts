import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { sha256 } from './sha256.js';

const platform = (text: string): string => createHash('sha256').update(text, 'utf8').digest('hex');

it('hashes any text as the platform does', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
      expect(sha256(text)).toBe(platform(text));
    }),
  );
});

it('pads every length around the end of a block', () => {
  for (let length = 0; length < 200; length++)
    expect(sha256('x'.repeat(length))).toBe(platform('x'.repeat(length)));
});
