import { type ProblemCode, type RunnerEvent, schedulingLimits } from '@beamtime/contracts';
import { ok, type Problem, type Result } from '@beamtime/kernel';
import { Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { appendHistory } from '../postgres/job-records.js';
import { type AttemptClaim, type HeldAttempt, holdAttempt } from './fence.js';

type EventOf<Kind extends RunnerEvent['kind']> = Extract<RunnerEvent, { kind: Kind }>;

/** Takes in the runner's event lines: progress, metrics, what it resolved. Each line counts once, by its number. */
@Injectable()
export class RecordEvents {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  execute(
    claim: AttemptClaim,
    events: readonly RunnerEvent[],
  ): Promise<Result<{ nextSeq: number }, Problem<ProblemCode>>> {
    return this.transactor.run(async (tx) => {
      const held = await holdAttempt(tx, claim);
      if (!held.ok) return held;
      let nextSeq = Number(held.value.attempt.next_event_seq);
      const fresh = events
        .filter((e) => e.seq >= nextSeq && e.jobId === claim.jobId && e.attempt === claim.attempt)
        .sort((a, b) => a.seq - b.seq);
      for (const event of fresh) {
        if (event.seq < nextSeq) continue;
        nextSeq = event.seq + 1;
        await this.take(tx, claim, held.value, event);
      }
      await this.keepProgress(tx, claim, held.value, fresh);
      await tx.rows('UPDATE scheduling.attempt SET next_event_seq = $3 WHERE job_id = $1 AND number = $2', [
        claim.jobId,
        claim.attempt,
        nextSeq,
      ]);
      return ok({ nextSeq });
    });
  }

  private async take(tx: Tx, claim: AttemptClaim, held: HeldAttempt, event: RunnerEvent): Promise<void> {
    const note = (to: string, reason: string): Promise<void> =>
      appendHistory(tx, {
        jobId: claim.jobId,
        attempt: claim.attempt,
        subject: 'note',
        from: null,
        to,
        actor: 'runner',
        reason,
      });
    switch (event.kind) {
      case 'resolved':
        await this.takeResolved(tx, claim, held, event);
        return note(
          'resolved',
          `${event.model.parameters} parameters, ${event.data.tokens} tokens, ${event.flops} FLOP`,
        );
      case 'resumed':
        return note('resumed', `from step ${event.fromStep}; ${restartOf(held.attempt)}`);
      case 'tokenizer':
        return note('tokenizer', `${event.vocabSize} tokens, sha256 ${event.sha256}`);
      case 'warning':
        return note('warning', `${event.code}: ${event.detail}`);
      case 'failed':
        return note('failed', `${event.code}: ${event.detail}`);
      case 'interrupted':
        return note('interrupted', `${event.signal}, at step ${event.step ?? 'none'}`);
      case 'ready':
        return note('ready', `serves ${event.revisions.join(', ')}`);
      default:
        return undefined;
    }
  }

  private async takeResolved(
    tx: Tx,
    claim: AttemptClaim,
    held: HeldAttempt,
    event: EventOf<'resolved'>,
  ): Promise<void> {
    const modelId = held.job.model_id;
    if (modelId === null) return;
    const { seq: _seq, at: _at, jobId: _jobId, attempt: _attempt, kind: _kind, ...resolved } = event;
    await tx.record('attempt.resolved', { jobId: claim.jobId, attempt: claim.attempt, modelId, resolved });
  }

  private async keepProgress(
    tx: Tx,
    claim: AttemptClaim,
    held: HeldAttempt,
    events: readonly RunnerEvent[],
  ): Promise<void> {
    const progress = events.filter((e): e is EventOf<'progress'> => e.kind === 'progress');
    const last = progress.at(-1);
    if (last === undefined) return;
    await tx.rows('UPDATE scheduling.job SET progress = $2, updated_at = now() WHERE id = $1', [
      claim.jobId,
      JSON.stringify({
        phase: last.phase,
        fraction: last.fraction,
        step: last.step ?? null,
        loss: last.loss ?? null,
        tokensPerSecond: last.tokensPerSecond ?? null,
        remainingSeconds: last.remainingSeconds ?? null,
      }),
    ]);
    await keepMetrics(tx, claim, held.attempt.metric_points, progress);
  }
}

/** What starting again cost: GPUs that were taken and did not compute yet. */
function restartOf({ accepted_at, gpus }: HeldAttempt['attempt']): string {
  const seconds = Math.max(0, Date.now() - (accepted_at?.getTime() ?? Date.now())) / 1_000;
  return `the restart took ${seconds.toFixed(1)} s of ${gpus} GPUs`;
}

/** One point per step that the runner names, up to a limit per attempt. */
async function keepMetrics(
  tx: Tx,
  claim: AttemptClaim,
  kept: number,
  events: readonly EventOf<'progress'>[],
): Promise<void> {
  const points = new Map<number, { loss: number | null; tokensPerSecond: number | null }>();
  for (const event of events) {
    for (const [step, loss] of event.losses ?? []) points.set(step, { loss, tokensPerSecond: null });
    if (event.step === undefined) continue;
    const loss = event.loss ?? points.get(event.step)?.loss ?? null;
    points.set(event.step, { loss, tokensPerSecond: event.tokensPerSecond ?? null });
  }
  const room = Math.max(0, schedulingLimits.metricPointsPerAttempt - kept);
  const rows = [...points].slice(0, room);
  if (rows.length === 0) return;
  const added = await tx.rows(
    `INSERT INTO scheduling.job_metric (job_id, attempt, step, loss, tokens_per_second)
     SELECT $1, $2, * FROM unnest($3::bigint[], $4::float8[], $5::float8[])
     ON CONFLICT DO NOTHING RETURNING step`,
    [
      claim.jobId,
      claim.attempt,
      rows.map(([step]) => step),
      rows.map(([, point]) => point.loss),
      rows.map(([, point]) => point.tokensPerSecond),
    ],
  );
  await tx.rows(
    'UPDATE scheduling.attempt SET metric_points = metric_points + $3 WHERE job_id = $1 AND number = $2',
    [claim.jobId, claim.attempt, added.length],
  );
}
