import type { QuotaTarget, QuotaView } from '@beamtime/contracts';
import { Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { quotaKey } from '../domain/quota.js';
import { readQuotas } from './read-quotas.js';

/** Sets or lifts a quota, with its entry in the audit log. Jobs that are there already stay. */
@Injectable()
export class SetQuota {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  /** @param wish.maxUnfinishedJobs null lifts the quota */
  execute(wish: {
    readonly target: QuotaTarget;
    readonly maxUnfinishedJobs: number | null;
    readonly actor: string;
  }): Promise<QuotaView[]> {
    const { target, maxUnfinishedJobs, actor } = wish;
    return this.transactor.do(async (tx) => {
      if (maxUnfinishedJobs === null) {
        await tx.rows('DELETE FROM scheduling.quota WHERE scope = $1 AND subject = $2', [
          target.scope,
          target.subject,
        ]);
      } else {
        await tx.rows(
          `INSERT INTO scheduling.quota (scope, subject, max_unfinished_jobs, set_by) VALUES ($1, $2, $3, $4)
           ON CONFLICT (scope, subject) DO UPDATE SET max_unfinished_jobs = excluded.max_unfinished_jobs,
             set_by = excluded.set_by, set_at = now()`,
          [target.scope, target.subject, maxUnfinishedJobs, actor],
        );
      }
      await tx.audit({
        actor,
        action: maxUnfinishedJobs === null ? 'quota.lift' : 'quota.set',
        subject: quotaKey(target),
        details: { maxUnfinishedJobs },
      });
      return readQuotas(tx);
    });
  }

  list(): Promise<QuotaView[]> {
    return readQuotas(this.transactor.read);
  }
}
