import { describe, expect, it } from 'vitest';
import { hashToken, mintToken, type TokenKind, tokenKind } from './mint-token.js';

describe('a token', () => {
  it('tells its kind, keeps 256 random bits, and is looked up by its hash', () => {
    for (const kind of ['session', 'allocation', 'agent', 'loginCode'] satisfies TokenKind[]) {
      const minted = mintToken(kind);
      expect(tokenKind(minted.token)).toBe(kind);
      expect(minted.token).toHaveLength(4 + 43);
      expect(hashToken(minted.token)).toBe(minted.tokenHash);
      expect(minted.token.startsWith(minted.shownPrefix)).toBe(true);
      expect(minted.shownPrefix).toHaveLength(8);
    }
  });

  it('is never looked up when it has not the form of one', () => {
    for (const text of [
      '',
      'bts_',
      'sk-123',
      `bts_${'a'.repeat(42)}`,
      `btx_${'a'.repeat(43)}`,
      `bts_${'a'.repeat(43)}\n`,
    ]) {
      expect(tokenKind(text)).toBeNull();
    }
  });
});
