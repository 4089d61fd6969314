import { canonicalText } from './canonical-text.js';
import { sha256 } from './sha256.js';

/** Adds the digest of a decision's record to it, so that a change of anything in it shows. */
export function sealDecision<T extends object>(record: T): T & { readonly sha256: string } {
  return { ...record, sha256: sha256(canonicalText(record)) };
}
