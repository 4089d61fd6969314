import { Transactor } from '@beamtime/platform';
import { AdvanceAttempts } from '@beamtime/scheduling';
import type { INestApplicationContext } from '@nestjs/common';

/**
 * A facility with a bug: a success that is said again ends the job again. Without faults nobody notices, since an agent
 * repeats itself only when a message or its answer was lost or doubled.
 */
export function commitsTwice(facility: INestApplicationContext): void {
  const attempts = facility.get(AdvanceAttempts, { strict: false });
  const transactor = facility.get(Transactor, { strict: false });
  const execute = attempts.execute.bind(attempts);
  attempts.execute = async (saying) => {
    for (const item of saying.items) {
      if (item.kind !== 'report' || item.state !== 'succeeded') continue;
      await transactor.do((tx) =>
        tx.rows(
          `INSERT INTO platform.outbox (event_id, type, payload)
           SELECT $2, type, payload FROM platform.outbox
           WHERE type = 'job.ended' AND payload->>'jobId' = $1 LIMIT 1 ON CONFLICT DO NOTHING`,
          [item.jobId, `evt_again_${item.jobId}`],
        ),
      );
    }
    return execute(saying);
  };
}
