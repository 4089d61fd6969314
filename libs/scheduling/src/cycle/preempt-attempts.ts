import { type Leadership, requireEpoch, type Tx } from '@beamtime/platform';
import type { Preemption } from '../domain/decisions.js';
import { appendHistoryAll } from '../postgres/job-records.js';

/**
 * Asks running attempts to save their state and leave: their agents hear of it with the next sync, report `preempted`,
 * and the jobs queue again. An attempt that has ended or been asked already stays as it is. Answers the clusters.
 */
export async function preemptAttempts(
  tx: Tx,
  leadership: Leadership,
  preemptions: readonly Preemption[],
): Promise<string[]> {
  if (preemptions.length === 0) return [];
  await requireEpoch(tx, leadership);
  const asked = await tx.rows<{ job_id: string; number: number; cluster_id: string; preempt_reason: string }>(
    `UPDATE scheduling.attempt a SET preempt_reason = p.reason
     FROM unnest($1::text[], $2::int[], $3::text[]) AS p (job_id, number, reason)
     WHERE a.job_id = p.job_id AND a.number = p.number AND a.state = 'running' AND a.preempt_reason IS NULL
     RETURNING a.job_id, a.number, a.cluster_id, a.preempt_reason`,
    [
      preemptions.map(({ jobId }) => jobId),
      preemptions.map(({ attempt }) => attempt),
      preemptions.map(({ reason }) => reason),
    ],
  );
  await appendHistoryAll(
    tx,
    asked.map((row) => ({
      jobId: row.job_id,
      attempt: row.number,
      subject: 'note' as const,
      from: null,
      to: 'asked-to-leave',
      actor: `scheduler/${leadership.epoch}`,
      reason: row.preempt_reason,
    })),
  );
  return [...new Set(asked.map((row) => row.cluster_id))];
}
