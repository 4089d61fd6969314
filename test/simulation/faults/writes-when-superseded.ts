import { Transactor } from '@beamtime/platform';
import { AdvanceAttempts } from '@beamtime/scheduling';
import type { INestApplicationContext } from '@nestjs/common';

/** A facility with a bug: it refuses an agent process that has been replaced, and writes what that said all the same. */
export function writesWhenSuperseded(facility: INestApplicationContext): void {
  const attempts = facility.get(AdvanceAttempts, { strict: false });
  const transactor = facility.get(Transactor, { strict: false });
  const execute = attempts.execute.bind(attempts);
  attempts.execute = async (saying) => {
    const heard = await execute(saying);
    if (!heard.ok) {
      await transactor.do((tx) =>
        tx.changed('UPDATE scheduling.job SET updated_at = now() WHERE id = ANY ($1)', [
          saying.items.map(({ jobId }) => jobId),
        ]),
      );
    }
    return heard;
  };
}
