import { randomBytes } from 'node:crypto';
import { type Id, type IdKind, mintId } from '@beamtime/kernel';

/** A new id of this kind, sortable by creation time. */
export function newId<Kind extends IdKind>(kind: Kind): Id<Kind> {
  return mintId(kind, Date.now(), randomBytes(10));
}
