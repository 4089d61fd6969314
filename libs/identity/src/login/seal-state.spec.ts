import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openState, sealState } from './seal-state.js';

const secret = 's'.repeat(32);

describe('sealed state', () => {
  it('comes back as it was until it expires', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (state) => {
        const text = sealState(secret, state, 1_000);
        expect(openState(secret, text, 999)).toEqual(JSON.parse(JSON.stringify(state)));
        expect(openState(secret, text, 1_000)).toBeUndefined();
      }),
    );
  });

  it('is worthless after any change, and under another secret', () => {
    const text = sealState(secret, { verifier: 'v' }, 1_000);
    fc.assert(
      fc.property(
        fc.nat({ max: Buffer.from(text, 'base64url').length - 1 }),
        fc.integer({ min: 1, max: 255 }),
        (at, flip) => {
          const bytes = Buffer.from(text, 'base64url');
          bytes[at] = (bytes[at] ?? 0) ^ flip;
          expect(openState(secret, bytes.toString('base64url'), 0)).toBeUndefined();
        },
      ),
    );
    expect(openState('t'.repeat(32), text, 0)).toBeUndefined();
    expect(openState(secret, 'nonsense', 0)).toBeUndefined();
  });
});
