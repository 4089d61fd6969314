export type QuotaScope = 'lab' | 'person' | 'project';

export interface Quota {
  readonly scope: QuotaScope;
  readonly subject: string;
  readonly maxUnfinishedJobs: number;
}

/** What of a job quotas bind. */
export interface Bound {
  readonly labId: string | null;
  readonly suiteId: string | null;
  readonly studyId: string | null;
  readonly submittedBy: string;
}

/** The quotas, by scope and subject, under which a job would stand if there were such. */
export function quotaKeysOf(job: Bound): string[] {
  const key = (scope: QuotaScope, subject: string | null): string[] =>
    subject === null ? [] : [quotaKey({ scope, subject })];
  return [
    ...key('lab', job.labId),
    ...key('person', job.submittedBy),
    ...key('project', job.suiteId),
    ...key('project', job.studyId),
  ];
}

export function quotaKey({ scope, subject }: Pick<Quota, 'scope' | 'subject'>): string {
  return `${scope}/${subject}`;
}

/** What is left of quotas while submissions are looked at one after the other. */
export class QuotaRoom {
  private readonly left = new Map<string, { readonly quota: Quota; jobs: number }>();

  /** @param quotas each with the jobs that are unfinished now */
  constructor(quotas: readonly (Quota & { readonly unfinishedJobs: number })[]) {
    for (const quota of quotas)
      this.left.set(quotaKey(quota), { quota, jobs: quota.maxUnfinishedJobs - quota.unfinishedJobs });
  }

  /** The first quota that has no room for this job; undefined where all have. */
  exceededBy(job: Bound): Quota | undefined {
    for (const key of quotaKeysOf(job)) {
      const found = this.left.get(key);
      if (found !== undefined && found.jobs <= 0) return found.quota;
    }
    return undefined;
  }

  /** Counts a job that is going to be there. */
  take(job: Bound): void {
    for (const key of quotaKeysOf(job)) {
      const found = this.left.get(key);
      if (found !== undefined) found.jobs -= 1;
    }
  }
}
