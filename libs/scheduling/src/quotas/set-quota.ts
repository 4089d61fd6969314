import { type ProblemCode, type QuotaTarget, type QuotaView, schedulingLimits } from '@beamtime/contracts';
import { err, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import { Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { type Quota, quotaKey } from '../domain/quota.js';
import { readQuotas } from './read-quotas.js';

export interface QuotaWish {
  readonly target: QuotaTarget;
  /** Null lifts this part of the quota; undefined leaves it as it is. */
  readonly maxUnfinishedJobs?: number | null | undefined;
  /** The same for GPUs of running jobs at the same time. */
  readonly maxGpusAtOnce?: number | null | undefined;
  readonly actor: string;
}

type Limits = Pick<Quota, 'maxUnfinishedJobs' | 'maxGpusAtOnce'>;

/** Sets or lifts a quota, with its entry in the audit log. Jobs that are there already stay, and what runs goes on. */
@Injectable()
export class SetQuota {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  /** Answers all quotas as they are then. */
  execute(wish: QuotaWish): Promise<Result<QuotaView[], Problem<ProblemCode>>> {
    const { target, actor } = wish;
    return this.transactor.run(async (tx) => {
      // The secretariat's changes one after the other: of the parts of one quota, and of their number.
      await tx.rows(`SELECT pg_advisory_xact_lock(hashtextextended('scheduling.quota', 0))`);
      const limits = await limitsAfter(tx, wish);
      const isLifted = limits.maxUnfinishedJobs === null && limits.maxGpusAtOnce === null;
      if (isLifted) {
        await tx.rows('DELETE FROM scheduling.quota WHERE scope = $1 AND subject = $2', [
          target.scope,
          target.subject,
        ]);
      } else if (!(await write(tx, target, limits, actor))) {
        return err(
          problem('limit.exceeded', `There are ${schedulingLimits.quotas} quotas already; lift others first`),
        );
      }
      await tx.audit({
        actor,
        action: isLifted ? 'quota.lift' : 'quota.set',
        subject: quotaKey(target),
        details: { ...limits },
      });
      // Where there is more room now, jobs go on at once.
      tx.knock('schedule');
      return ok(await readQuotas(tx));
    });
  }

  list(): Promise<QuotaView[]> {
    return readQuotas(this.transactor.read);
  }
}

/** Both parts of the quota with the change made. */
async function limitsAfter(tx: Tx, wish: QuotaWish): Promise<Limits> {
  const { target, maxUnfinishedJobs, maxGpusAtOnce } = wish;
  const before = await tx.row<Limits>(
    `SELECT max_unfinished_jobs AS "maxUnfinishedJobs", max_gpus_at_once AS "maxGpusAtOnce"
     FROM scheduling.quota WHERE scope = $1 AND subject = $2`,
    [target.scope, target.subject],
  );
  return {
    maxUnfinishedJobs:
      maxUnfinishedJobs === undefined ? (before?.maxUnfinishedJobs ?? null) : maxUnfinishedJobs,
    maxGpusAtOnce: maxGpusAtOnce === undefined ? (before?.maxGpusAtOnce ?? null) : maxGpusAtOnce,
  };
}

/** False where there are as many as there may be. */
async function write(tx: Tx, target: QuotaTarget, limits: Limits, actor: string): Promise<boolean> {
  const written = await tx.rows(
    `INSERT INTO scheduling.quota (scope, subject, max_unfinished_jobs, max_gpus_at_once, set_by)
     SELECT $1::text, $2::text, $3::int, $4::int, $5::text
     WHERE (SELECT count(*) FROM scheduling.quota WHERE (scope, subject) <> ($1, $2)) < $6
     ON CONFLICT (scope, subject) DO UPDATE SET max_unfinished_jobs = excluded.max_unfinished_jobs,
       max_gpus_at_once = excluded.max_gpus_at_once, set_by = excluded.set_by, set_at = now()
     RETURNING scope`,
    [
      target.scope,
      target.subject,
      limits.maxUnfinishedJobs,
      limits.maxGpusAtOnce,
      actor,
      schedulingLimits.quotas,
    ],
  );
  return written.length > 0;
}
