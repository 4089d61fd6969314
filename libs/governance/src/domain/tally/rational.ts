/** An exact fraction in lowest terms with a positive denominator. Money, weights and prices are these, never floats. */
export interface Rational {
  readonly n: bigint;
  readonly d: bigint;
}

/** Longest amount we read, so that a hostile file cannot make us build a number of a million digits. */
const AMOUNT_TEXT_LIMIT = 4_096;
const EXPONENT_LIMIT = 30;

export function gcd(a: bigint, b: bigint): bigint {
  let x = a < 0n ? -a : a;
  let y = b < 0n ? -b : b;
  while (y !== 0n) [x, y] = [y, x % y];
  return x;
}

export function lcm(a: bigint, b: bigint): bigint {
  return (a / gcd(a, b)) * b;
}

export function rational(n: bigint, d = 1n): Rational {
  if (d === 0n) throw new RangeError('a fraction needs a denominator other than zero');
  if (d === 1n) return { n, d };
  const divisor = d < 0n ? -gcd(n, d) : gcd(n, d);
  return { n: n / divisor, d: d / divisor };
}

export const zero: Rational = { n: 0n, d: 1n };
export const one: Rational = { n: 1n, d: 1n };

export const add = (a: Rational, b: Rational): Rational => rational(a.n * b.d + b.n * a.d, a.d * b.d);
export const subtract = (a: Rational, b: Rational): Rational => rational(a.n * b.d - b.n * a.d, a.d * b.d);
export const multiply = (a: Rational, b: Rational): Rational => rational(a.n * b.n, a.d * b.d);
export const divide = (a: Rational, b: Rational): Rational => rational(a.n * b.d, a.d * b.n);

/** Negative, zero or positive as a is less than, equal to or greater than b. */
export function compare(a: Rational, b: Rational): number {
  const left = a.n * b.d;
  const right = b.n * a.d;
  return left < right ? -1 : left > right ? 1 : 0;
}

/** Reads `12`, `-3.50`, `1331751,11`, `1e5` or `7/3` exactly; undefined when the text is not an amount. */
export function parseRational(text: string): Rational | undefined {
  const trimmed = text.trim();
  if (trimmed.length === 0 || trimmed.length > AMOUNT_TEXT_LIMIT) return undefined;
  const fraction = /^(-?\d+)\/(\d+)$/.exec(trimmed);
  if (fraction) {
    const d = BigInt(fraction[2] ?? '0');
    return d === 0n ? undefined : rational(BigInt(fraction[1] ?? '0'), d);
  }
  const decimal = /^([+-]?)(\d+)(?:[.,](\d+))?(?:[eE]([+-]?\d{1,3}))?$/.exec(trimmed);
  if (!decimal) return undefined;
  const digits = decimal[3] ?? '';
  const exponent = Number(decimal[4] ?? '0') - digits.length;
  if (Math.abs(Number(decimal[4] ?? '0')) > EXPONENT_LIMIT) return undefined;
  const magnitude = BigInt(`${decimal[2]}${digits}`);
  const n = decimal[1] === '-' ? -magnitude : magnitude;
  return exponent >= 0 ? rational(n * 10n ** BigInt(exponent)) : rational(n, 10n ** BigInt(-exponent));
}

/** The canonical text of a fraction: `7`, `-1/3`. */
export function rationalText(value: Rational): string {
  return value.d === 1n ? value.n.toString() : `${value.n}/${value.d}`;
}

/** Bits of precision kept when a quotient of big integers becomes a double. */
const QUOTIENT_BITS = 64;

/** n/d as a double, off by less than one part in 2^52. For showing, and for bounds that prune; never to decide. */
export function toNumber(n: bigint, d = 1n): number {
  if (n < 0n) return -toNumber(-n, d);
  if (n <= MAX_EXACT && d <= MAX_EXACT) return Number(n) / Number(d);
  const shift = bitLength(d) - bitLength(n) + QUOTIENT_BITS;
  const quotient = shift >= 0 ? (n << BigInt(shift)) / d : n / (d << BigInt(-shift));
  return Number(quotient) * 2 ** -shift;
}

const MAX_EXACT = BigInt(Number.MAX_SAFE_INTEGER);

function bitLength(n: bigint): number {
  return n.toString(16).length * 4;
}

/** A decimal for people, rounded half up to the given places; exact arithmetic, so no surprise at the last digit. */
export function decimalText(value: Rational, places = 2): string {
  const scale = 10n ** BigInt(places);
  const negative = value.n < 0n;
  const magnitude = negative ? -value.n : value.n;
  const scaled = (2n * magnitude * scale + value.d) / (2n * value.d);
  const whole = scaled / scale;
  const rest = (scaled % scale).toString().padStart(places, '0').replace(/0+$/, '');
  const sign = negative && scaled !== 0n ? '-' : '';
  return rest === '' ? `${sign}${whole}` : `${sign}${whole}.${rest}`;
}
