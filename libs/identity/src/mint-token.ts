import { createHash, randomBytes } from 'node:crypto';

/** What a token opens is readable from its first letters, for people and for secret scanners. */
export const tokenPrefixes = {
  session: 'bts_',
  allocation: 'btk_',
  agent: 'bta_',
  loginCode: 'btc_',
} as const;
export type TokenKind = keyof typeof tokenPrefixes;

/** 256 bits: guessing is hopeless, so a plain SHA-256 keeps the token secret in the database. */
const randomByteCount = 32;
/** Prefix and base64url of the random bytes. */
const tokenPattern = /^bt[skac]_[A-Za-z0-9_-]{43}$/;
/** Characters of a key that listings show: 24 of its 256 bits. */
const shownChars = 8;

export interface MintedToken {
  /** Goes to its owner once and is kept nowhere. */
  readonly token: string;
  readonly tokenHash: string;
  readonly shownPrefix: string;
}

export function mintToken(kind: TokenKind): MintedToken {
  const token = tokenPrefixes[kind] + randomBytes(randomByteCount).toString('base64url');
  return { token, tokenHash: hashToken(token), shownPrefix: token.slice(0, shownChars) };
}

/** The kind that a token claims to be, or null if it has not the form of one: no need to look it up. */
export function tokenKind(token: string): TokenKind | null {
  if (!tokenPattern.test(token)) return null;
  const found = Object.entries(tokenPrefixes).find(([, prefix]) => token.startsWith(prefix));
  return found === undefined ? null : (found[0] as TokenKind);
}

export function hashToken(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}
