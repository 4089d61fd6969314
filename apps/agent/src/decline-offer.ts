import { type AttemptRef, declineAttempt } from '@beamtime/contracts';
import { type Facility } from './facility.js';
import type { Log } from './log.js';
import type { Refusal } from './own-policy.js';

/** Tells the facility that this cluster does not take an offer, so that the job need not wait for the offer to lapse. */
export async function declineOffer(
  facility: Facility,
  { jobId, attempt }: AttemptRef,
  incarnation: number,
  { code, reason }: Refusal,
  log: Log,
): Promise<void> {
  log('info', 'offer declined', { job: jobId, attempt, reason });
  try {
    await facility.once(declineAttempt, { params: { jobId, attempt }, body: { incarnation, reason, code } });
  } catch (error) {
    // It lapses by itself.
    log('warn', 'the facility did not hear of it', { job: jobId, attempt, error: (error as Error).message });
  }
}
