import { createReadStream } from 'node:fs';
import { type PabulibElection, PabulibReader } from '@beamtime/governance/tally';
import { UsageError } from '../core/usage-error.js';

/** Read at a time: large enough to be fast, small beside the limits of the reader. */
const PIECE_BYTES = 1024 * 1024;

/**
 * Streams a pabulib.org file, so that memory stays bounded whatever the file is; stops at the first line that is
 * wrong and names it.
 */
export async function readElectionFile(path: string): Promise<PabulibElection> {
  const reader = new PabulibReader();
  const stream = createReadStream(path, { encoding: 'utf8', highWaterMark: PIECE_BYTES });
  for await (const piece of stream) {
    const problem = reader.push(String(piece));
    if (problem) throw new UsageError(`${path}: ${problem.detail}`);
  }
  const election = reader.finish();
  if (!election.ok) throw new UsageError(`${path}: ${election.error.detail}`);
  return election.value;
}
