import { shareInWords, sharesGpu, wholeGpuMilli } from './gpu-share.js';
import { judgeNow, type Verdict, whyNever } from './judge-cluster.js';
import { beamtime, type SharesPolicy } from './policy.js';
import { decideIn, Scene } from './shares/decide-by-shares.js';
import { isBefore } from './shares/move-by-shares.js';
import { isCapped, isKeptFromIt, lacksRoom } from './shares/quota-room.js';
import type { Cap, ClusterNow, JobNow } from './shares/state.js';
import type { Snapshot, WaitingJob } from './snapshot.js';

export type WaitCode =
  | 'capacity'
  | 'share'
  | 'reserved'
  | 'quota'
  | 'cluster-unavailable'
  | 'cluster-policy'
  | 'retry-later'
  | 'unschedulable';

/** Why a job was not placed, in words. */
export interface Waiting {
  readonly jobId: string;
  /** Its turn among the waiting jobs of the snapshot, 1 is first. */
  readonly position: number;
  readonly code: WaitCode;
  readonly detail: string;
  readonly change: string | null;
  readonly clusters: readonly { readonly clusterId: string; readonly name: string; readonly says: string }[];
}

type Reason = Pick<Waiting, 'code' | 'detail' | 'change'>;

/**
 * What a waiting job waits for and what would have to change, by the decision that production would make now;
 * undefined when that starts it, or when the snapshot has no such job.
 */
export function explainWaiting(
  snapshot: Snapshot,
  nowMs: number,
  seed: number,
  jobId: string,
  policy: SharesPolicy = beamtime,
): Waiting | undefined {
  const asked = snapshot.waiting.find((waiting) => waiting.jobId === jobId);
  if (asked === undefined) return undefined;
  const scene = new Scene(snapshot, nowMs, policy);
  const freeAtFirst = scene.situation.clusters.map((cluster) => freeFor(asked, cluster));
  const { situation } = decideIn(scene, nowMs, seed);
  const job = scene.jobs.get(jobId);
  if (job === undefined || job.ticket === 0) return undefined;
  const position =
    1 +
    [...scene.jobs.values()].filter((other) => other.ticket !== 0 && isBefore(situation, other, job)).length;
  const verdicts = situation.clusters
    .filter(({ info }) => info.state !== 'retired')
    .map((cluster) => ({
      cluster,
      verdict: judgeNow(cluster.info, { ...asked }, freeFor(asked, cluster), nowMs),
    }));
  const hadRoom = situation.clusters.some(
    (cluster, index) => judgeNow(cluster.info, { ...asked }, freeAtFirst[index] ?? 0, nowMs).fits === 'now',
  );
  return {
    jobId,
    position,
    clusters: verdicts.map(({ cluster, verdict }) => ({
      clusterId: cluster.info.clusterId,
      name: cluster.info.name,
      says: saysOf(cluster, verdict, job),
    })),
    ...reasonOf(
      snapshot,
      job,
      nowMs,
      verdicts.map(({ verdict }) => verdict),
      hadRoom,
    ),
  };
}

/** Free GPUs; a shared one that has room for the job's part is as good as one. */
function freeFor(job: WaitingJob, { free, shared }: ClusterNow): number {
  const { gpuShareMilli = wholeGpuMilli } = job;
  return sharesGpu(job) && shared.hasRoom(gpuShareMilli) ? Math.max(1, free) : free;
}

/** What a job has had decides its turn: said as soon as it matters. */
function hadSoFar(job: JobNow): string {
  if (job.level === 0) return '';
  const gpuHours = (job.servedMs * job.gpusMost) / 3_600_000;
  return `; it has had ${gpuHours.toFixed(1)} GPU-hours, and jobs that have had less go first`;
}

function saysOf(cluster: ClusterNow, verdict: Verdict, job: JobNow): string {
  if (verdict.fits !== 'now') {
    if (verdict.fits === 'later' && verdict.code === 'capacity' && cluster.leavingGpus > 0)
      return `${verdict.says}; ${cluster.leavingGpus} more are being vacated`;
    return verdict.says;
  }
  if (isCapped(job)) return 'it has room';
  return 'it is kept free for a job that has waited longer';
}

const gpusSaid = (gpus: number): string => (gpus === 1 ? '1 GPU' : `${gpus} GPUs`);

/** The quota of GPUs that keeps a job from starting, if one does: how much of it is used, and by what. */
function quotaReason(snapshot: Snapshot, job: JobNow): Reason | undefined {
  const { caps } = job.shape;
  const small = caps.find(({ gpus }) => gpus < job.gpus);
  if (small !== undefined) {
    return {
      code: 'quota',
      detail: `${quotaSaid(small)}; it asks for ${job.gpus}`,
      change: `Nothing becomes free for it: the secretariat has to raise the quota to ${job.gpus} or more; otherwise cancel it and ask for less`,
    };
  }
  const cap = caps.find((one) => lacksRoom(one, job)) ?? caps.find((one) => isKeptFromIt(one, job));
  if (cap === undefined) return undefined;
  const used = (snapshot.quotas ?? []).find(({ key }) => key === cap.key)?.usedGpus ?? 0;
  const head = `${quotaSaid(cap)}: running jobs hold ${used}, and it asks for ${job.gpus}`;
  const orRaise = 'or when the secretariat raises the quota';
  const lacking = used + job.gpus - cap.gpus;
  if (lacking > 0) {
    return {
      code: 'quota',
      detail: head,
      change: `It may start when jobs under the quota have given back ${gpusSaid(lacking)}, ${orRaise}`,
    };
  }
  if (cap.keptFor !== null && isKeptFromIt(cap, job)) {
    return {
      code: 'quota',
      detail: `${head}; what is left is kept for ${cap.keptFor.jobId}, which has waited longer and needs ${cap.keptFor.gpus}`,
      change: `It may start after that job, ${orRaise}`,
    };
  }
  return {
    code: 'quota',
    detail: `${head}; what is left goes to jobs under it whose turn is earlier`,
    change: `It may start when those have given it back, ${orRaise}`,
  };
}

function quotaSaid({ key, gpus }: Cap): string {
  return `The quota of the ${key.replace('/', ' ')} is ${gpusSaid(gpus)} at the same time`;
}

function reasonOf(
  snapshot: Snapshot,
  job: JobNow,
  nowMs: number,
  verdicts: readonly Verdict[],
  hadRoom: boolean,
): Reason {
  const { gpus, gpusMost = gpus, gpuShareMilli = wholeGpuMilli } = job.shape.request;
  const orFewer = gpusMost > gpus ? `, of the ${gpusMost} that it asks for,` : '';
  const isShared = gpuShareMilli < wholeGpuMilli;
  if (job.retryAtMs !== null && job.retryAtMs > nowMs) {
    return {
      code: 'retry-later',
      detail: `Its last attempt failed; it is tried again in ${Math.ceil((job.retryAtMs - nowMs) / 1000)} s`,
      change: 'Nothing: it starts by itself',
    };
  }
  const never = whyNever(snapshot.clusters, job.shape.request);
  if (never !== null) {
    return {
      code: 'unschedulable',
      detail: `No cluster could run it: ${never}`,
      change: isShared
        ? 'Ask for a whole GPU, or have a cluster share its GPUs; cancel it otherwise'
        : 'Ask for less, or have a cluster join that has it; cancel it otherwise',
    };
  }
  const quota = quotaReason(snapshot, job);
  if (quota !== undefined) return quota;
  const codes = new Set(verdicts.flatMap((v) => (v.fits === 'later' ? [v.code] : [])));
  if (verdicts.some((v) => v.fits === 'now')) {
    return {
      code: 'reserved',
      detail: 'The cluster that has room is kept free for a larger job that has waited longer',
      change: 'It starts after that job, or when another cluster has room',
    };
  }
  if (hadRoom) {
    return {
      code: 'share',
      detail: 'What was free has just gone to jobs with a better claim',
      change:
        'Its owner runs more for its share than theirs, or its priority is lower; it starts as GPUs become free',
    };
  }
  if (codes.has('capacity') && isShared) {
    return {
      code: 'capacity',
      detail: `No cluster that may run it has ${shareInWords(gpuShareMilli)} left`,
      change:
        'It starts when a shared GPU has that much left, or a whole one becomes free and nobody with a better claim wants it',
    };
  }
  if (codes.has('capacity')) {
    return {
      code: 'capacity',
      detail: `No cluster that may run it has ${gpusSaid(gpus)}${orFewer} free${hadSoFar(job)}`,
      change: `It starts when ${gpusSaid(gpus)} in one cluster ${gpus === 1 ? 'becomes' : 'become'} free and nobody with a better claim wants ${gpus === 1 ? 'it' : 'them'}`,
    };
  }
  if (codes.has('retry-later')) {
    return {
      code: 'retry-later',
      detail: 'The clusters that could run it did not take it a moment ago',
      change: 'It is offered to them again shortly; their agents log why they refused',
    };
  }
  if (codes.has('cluster-policy')) {
    return {
      code: 'cluster-policy',
      detail: 'The clusters that could run it start no work at this hour',
      change: 'It starts when their hours begin',
    };
  }
  return {
    code: 'cluster-unavailable',
    detail: 'Every cluster that could run it is down or drained',
    change: 'It starts when the agent of such a cluster is back, or its operators resume it',
  };
}
