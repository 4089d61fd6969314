import { sha256 } from './sha256.js';

/**
 * The lot of a project: a number drawn once per round from the round's seed. Of tied projects the smallest lot
 * comes first. Who proposes cannot fish for a name with a small lot, as the seed is unknown until the vote closes.
 */
export function drawLot(seed: string, projectId: string): string {
  return sha256(`beamtime lot\n${seed}\n${projectId}`);
}
