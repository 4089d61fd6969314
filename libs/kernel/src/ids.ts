declare const brand: unique symbol;
/** A string proven to name one kind of thing. */
export type Id<Kind extends string> = string & { readonly [brand]: Kind };

/** Prefix of every id in the system: an id tells what it names wherever it is printed. */
export const idPrefixes = {
  Lab: 'lab',
  Person: 'per',
  ApiKey: 'key',
  Session: 'ses',
  Round: 'rnd',
  Proposal: 'prp',
  Ballot: 'blt',
  Pledge: 'plg',
  Policy: 'pol',
  Suite: 'sui',
  Corpus: 'cor',
  Model: 'mdl',
  Cluster: 'clu',
  Job: 'job',
  Application: 'app',
  Review: 'rev',
  Allocation: 'alc',
  Account: 'acc',
  Hold: 'hld',
  Transfer: 'trf',
  Request: 'req',
  Artifact: 'art',
  Study: 'stu',
  Event: 'evt',
} as const;
export type IdKind = keyof typeof idPrefixes;

export type LabId = Id<'Lab'>;
export type PersonId = Id<'Person'>;
export type ApiKeyId = Id<'ApiKey'>;
export type RoundId = Id<'Round'>;
export type ProposalId = Id<'Proposal'>;
export type BallotId = Id<'Ballot'>;
export type SuiteId = Id<'Suite'>;
export type CorpusId = Id<'Corpus'>;
export type ModelId = Id<'Model'>;
export type ClusterId = Id<'Cluster'>;
export type JobId = Id<'Job'>;
export type ApplicationId = Id<'Application'>;
export type ReviewId = Id<'Review'>;
export type AllocationId = Id<'Allocation'>;
export type AccountId = Id<'Account'>;
export type HoldId = Id<'Hold'>;
export type RequestId = Id<'Request'>;
export type ArtifactId = Id<'Artifact'>;
export type StudyId = Id<'Study'>;
export type EventId = Id<'Event'>;

const crockford = '0123456789abcdefghjkmnpqrstvwxyz';
/** 48 bits of milliseconds, then 80 random bits: the ULID layout, so ids sort by creation. */
const timeChars = 10;
const randomChars = 16;

/** Mints an id from a clock reading and at least 10 random bytes; pure, so the edges bring both. */
export function mintId<Kind extends IdKind>(kind: Kind, nowMs: number, randomBytes: Uint8Array): Id<Kind> {
  let time = '';
  let rest = Math.trunc(nowMs);
  for (let i = 0; i < timeChars; i++) {
    time = crockford.charAt(rest % 32) + time;
    rest = Math.floor(rest / 32);
  }
  let bits = 0n;
  for (const byte of randomBytes.slice(0, 10)) bits = (bits << 8n) | BigInt(byte);
  let random = '';
  for (let i = 0; i < randomChars; i++) {
    random = crockford.charAt(Number(bits & 31n)) + random;
    bits >>= 5n;
  }
  return `${idPrefixes[kind]}_${time}${random}` as Id<Kind>;
}

/** Whether a string has the form of an id of this kind. */
export function isId<Kind extends IdKind>(kind: Kind, text: string): text is Id<Kind> {
  return new RegExp(`^${idPrefixes[kind]}_[${crockford}]{26}$`).test(text);
}
