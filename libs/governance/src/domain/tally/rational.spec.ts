import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  add,
  compare,
  decimalText,
  divide,
  multiply,
  parseRational,
  rational,
  rationalText,
  toNumber,
} from './rational.js';

const drawn = fc
  .tuple(fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }), fc.bigInt({ min: 1n, max: 10n ** 30n }))
  .map(([n, d]) => rational(n, d));

describe('fractions', () => {
  it('are kept in lowest terms, so that equal ones have equal texts', () => {
    fc.assert(
      fc.property(drawn, fc.bigInt({ min: 1n, max: 10n ** 9n }), (value, k) => {
        expect(rationalText(rational(value.n * k, value.d * k))).toBe(rationalText(value));
      }),
    );
  });

  it('come back from their own text', () => {
    fc.assert(
      fc.property(drawn, (value) => {
        expect(parseRational(rationalText(value))).toEqual(value);
      }),
    );
  });

  it('obey the laws of arithmetic', () => {
    fc.assert(
      fc.property(drawn, drawn, drawn, (a, b, c) => {
        expect(multiply(a, add(b, c))).toEqual(add(multiply(a, b), multiply(a, c)));
        if (b.n !== 0n) expect(multiply(divide(a, b), b)).toEqual(a);
        expect(Math.sign(compare(a, b))).toBe(-Math.sign(compare(b, a)));
      }),
    );
  });

  it('become doubles that are off by less than one part in 2^52, however large they are', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 1n, max: 1n << 900n }),
        fc.bigInt({ min: 1n, max: 1n << 900n }),
        (n, d) => {
          const near = toNumber(n, d);
          if (near === 0 || !Number.isFinite(near)) return;
          const exponent = Math.floor(Math.log2(near)) - 60;
          const scale =
            exponent >= 0 ? rational(1n << BigInt(exponent)) : rational(1n, 1n << BigInt(-exponent));
          const exact = multiply(rational(BigInt(near / 2 ** exponent)), scale);
          const error = toNumber(...difference(rational(n, d), exact));
          expect(Math.abs(error)).toBeLessThanOrEqual(near * 2 ** -52);
        },
      ),
    );
  });
});

function difference(a: { n: bigint; d: bigint }, b: { n: bigint; d: bigint }): [bigint, bigint] {
  const value = rational(a.n * b.d - b.n * a.d, a.d * b.d);
  return [value.n, value.d];
}

describe('amounts in files', () => {
  it.each([
    ['1331751.11', '133175111/100'],
    ['1331751,11', '133175111/100'],
    [' 12 ', '12'],
    ['-0.5', '-1/2'],
    ['1e3', '1000'],
    ['2.5E-1', '1/4'],
    ['7/21', '1/3'],
  ])('reads %s exactly', (text, exact) => {
    const value = parseRational(text);
    expect(value && rationalText(value)).toBe(exact);
  });

  it.each(['', 'x', '1.2.3', '1/0', '--1', '1e999', 'NaN', 'Infinity', '1 000', '0x10'])(
    'refuses %s',
    (text) => {
      expect(parseRational(text)).toBeUndefined();
    },
  );

  it('are shown rounded half up, without a tail of zeros', () => {
    expect(decimalText(rational(1n, 3n))).toBe('0.33');
    expect(decimalText(rational(-1n, 8n))).toBe('-0.13');
    expect(decimalText(rational(5n))).toBe('5');
    expect(decimalText(rational(-1n, 1000n))).toBe('0');
  });
});
