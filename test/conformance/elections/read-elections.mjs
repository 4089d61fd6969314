// Where the real elections lie, and how to read one.
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PabulibReader } from '@beamtime/governance/tally';

const root = fileURLToPath(new URL('../../../', import.meta.url));

/** BEAMTIME_DATA, relative to where one stands; by default the folder beside the repository. */
export const dataFolder = process.env.BEAMTIME_DATA
  ? resolve(process.env.BEAMTIME_DATA)
  : join(root, '..', 'shared', 'data');
const electionFolder = join(dataFolder, 'elections');

/** Says why there is nothing to read and ends the process: with success only if nobody asked for a folder. */
export function requireElections() {
  if (existsSync(join(electionFolder, 'outcomes.json'))) return;
  console.log(
    `SKIPPED: there are no elections in ${electionFolder}. BEAMTIME_DATA names the folder that has them.`,
  );
  process.exit(process.env.BEAMTIME_DATA ? 2 : 0);
}

export function readOutcomes() {
  return JSON.parse(readFileSync(join(electionFolder, 'outcomes.json'), 'utf8'));
}

export function readElection(file) {
  const reader = new PabulibReader();
  reader.push(readFileSync(join(electionFolder, file), 'utf8'));
  const election = reader.finish();
  if (!election.ok) throw new Error(`${file}: ${election.error.detail}`);
  return election.value;
}
