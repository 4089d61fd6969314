import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TextCheck, type TextFault } from './check-text.js';

function check(bytes: Uint8Array, cuts: readonly number[] = []): TextFault | undefined {
  const text = new TextCheck();
  let from = 0;
  for (const cut of [...cuts].sort((a, b) => a - b)) {
    const fault = text.take(bytes.subarray(from, Math.min(cut, bytes.length)));
    if (fault !== undefined) return fault;
    from = Math.min(cut, bytes.length);
  }
  return text.take(bytes.subarray(from)) ?? text.end();
}

/** Nothing but what the check takes for white space. */
const isBlank = (text: string): boolean => /^[\t-\r ]*$/.test(text);

describe('checking text', () => {
  it('refuses what is nothing but white space', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(' ', '\t', '\n', '\r', '\v', '\f'), minLength: 1 }),
        (text) => {
          expect(check(new TextEncoder().encode(text))?.why).toContain('white space');
        },
      ),
    );
  });

  it('accepts any text, wherever the chunks are cut', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', minLength: 1 }).filter((text) => !isBlank(text)),
        fc.array(fc.nat(60), { maxLength: 6 }),
        (text, cuts) => {
          const bytes = new TextEncoder().encode(text);
          const nul = bytes.indexOf(0);
          const fault = check(bytes, cuts);
          if (nul === -1) expect(fault).toBeUndefined();
          else expect(fault?.offset).toBe(nul);
        },
      ),
    );
  });

  it('agrees with the platform on what is UTF-8, wherever the chunks are cut', () => {
    const bytesLikeText = fc
      .uint8Array({ minLength: 1, maxLength: 40 })
      .filter((bytes) => !isBlank(Buffer.from(bytes).toString('latin1')));
    fc.assert(
      fc.property(bytesLikeText, fc.array(fc.nat(40), { maxLength: 5 }), (bytes, cuts) => {
        let sound = !bytes.includes(0);
        try {
          new TextDecoder('utf-8', { fatal: true }).decode(bytes);
        } catch {
          sound = false;
        }
        expect(check(bytes, cuts) === undefined).toBe(sound);
        expect(check(bytes, cuts)).toEqual(check(bytes));
      }),
      { numRuns: 2_000 },
    );
  });

  it('says where the first bad byte is, and why', () => {
    expect(check(new Uint8Array([]))).toEqual({ offset: 0, why: 'it is empty' });
    expect(check(new Uint8Array([0x61, 0x62, 0xff]))).toEqual({
      offset: 2,
      why: 'byte 0xff cannot begin a character of UTF-8',
    });
    expect(check(new Uint8Array([0x61, 0xc3, 0x41]))).toMatchObject({ offset: 2 });
    expect(check(new Uint8Array([0x61, 0xe2, 0x82]))).toEqual({
      offset: 1,
      why: 'it ends in the middle of a character',
    });
    expect(check(new Uint8Array([0x61, 0xed, 0xa0, 0x80]))).toMatchObject({ offset: 2 });
  });
});
