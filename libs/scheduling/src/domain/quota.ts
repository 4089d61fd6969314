export type QuotaScope = 'lab' | 'person' | 'project';

export interface Quota {
  readonly scope: QuotaScope;
  readonly subject: string;
  /** Jobs that may be queued or running at the same time; null: any number. */
  readonly maxUnfinishedJobs: number | null;
  /** GPUs that live attempts may hold at the same time; null: any number. */
  readonly maxGpusAtOnce: number | null;
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

/** Scope and subject of a key. */
export function quotaOfKey(key: string): { readonly scope: string; readonly subject: string } {
  const at = key.indexOf('/');
  return { scope: key.slice(0, at), subject: key.slice(at + 1) };
}

/** A quota that stands against a submission: no further job, or never one of this size. */
export interface Exceeded {
  readonly quota: Quota;
  readonly by: 'jobs' | 'gpus';
}

/** What is left of quotas while submissions are looked at one after the other. */
export class QuotaRoom {
  private readonly left = new Map<string, { readonly quota: Quota; jobs: number }>();

  /** @param quotas each with the jobs that are unfinished now */
  constructor(quotas: readonly (Quota & { readonly unfinishedJobs: number })[]) {
    for (const quota of quotas) {
      const most = quota.maxUnfinishedJobs ?? Number.POSITIVE_INFINITY;
      this.left.set(quotaKey(quota), { quota, jobs: most - quota.unfinishedJobs });
    }
  }

  /** The first quota that stands against this job; undefined where none does. */
  exceededBy(job: Bound, gpus: number): Exceeded | undefined {
    for (const key of quotaKeysOf(job)) {
      const found = this.left.get(key);
      if (found === undefined) continue;
      if (found.jobs <= 0) return { quota: found.quota, by: 'jobs' };
      if (gpus > (found.quota.maxGpusAtOnce ?? Number.POSITIVE_INFINITY))
        return { quota: found.quota, by: 'gpus' };
    }
    return undefined;
  }

  /** The quotas of GPUs under which a job stands, by their keys. */
  gpuQuotasOf(job: Bound): string[] {
    return quotaKeysOf(job).filter((key) => (this.left.get(key)?.quota.maxGpusAtOnce ?? null) !== null);
  }

  /** Counts a job that is going to be there. */
  take(job: Bound): void {
    for (const key of quotaKeysOf(job)) {
      const found = this.left.get(key);
      if (found !== undefined) found.jobs -= 1;
    }
  }
}

/** GPUs that running jobs may still get under quotas; jobs are looked at one after the other. */
export class GpuRoom {
  private readonly left: Map<string, number>;

  constructor(quotas: readonly { readonly key: string; readonly gpus: number; readonly usedGpus: number }[]) {
    this.left = new Map(quotas.map(({ key, gpus, usedGpus }) => [key, gpus - usedGpus]));
  }

  /** GPUs left under all of these together; infinite where none of them is a quota. */
  of(keys: readonly string[]): number {
    return Math.min(Number.POSITIVE_INFINITY, ...keys.map((key) => this.left.get(key) ?? Infinity));
  }

  /** Takes so many where that many are left; answers whether it did. */
  take(keys: readonly string[], gpus: number): boolean {
    if (this.of(keys) < gpus) return false;
    for (const key of keys) {
      const left = this.left.get(key);
      if (left !== undefined) this.left.set(key, left - gpus);
    }
    return true;
  }
}
