import type { FactOf } from '@beamtime/contracts';
import type { Tx } from '@beamtime/platform';

/** A round was funded: what each lab promised becomes part of the consortium's share. Again is harmless. */
export async function recordPledges(tx: Tx, funded: FactOf<'round.funded'>): Promise<void> {
  for (const { labId, gpuSeconds } of funded.pledges) {
    await tx.rows(
      `INSERT INTO scheduling.pledge (round_id, lab_id, gpu_seconds) VALUES ($1, $2, $3)
       ON CONFLICT (round_id, lab_id) DO UPDATE SET gpu_seconds = excluded.gpu_seconds`,
      [funded.roundId, labId, gpuSeconds],
    );
  }
  tx.knock('schedule');
}
