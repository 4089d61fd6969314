import { isElastic } from './elastic.js';
import { gpusCounted, sharesGpu, wholeGpuMilli } from './gpu-share.js';
import { beamtime } from './policy.js';
import type { JobRequest } from './snapshot.js';

/** Steps of the time bound per doubling: jobs of one shape differ in it by less than a fifth. */
const stepsPerDoubling = 4;

/**
 * What clusters judge a waiting job by, as one text: waiting jobs of one owner and one shape are placed, or are not,
 * for the same reasons, so a decision needs to see only the first few of each. The time bound goes in by size classes,
 * since people write any number of seconds. What it has had goes in as the policy's level, so that those who have had
 * much, and were asked to leave, never hide those who have had nothing. A part of a GPU goes in as it was asked for.
 *
 * @param secondsUsed with all its GPUs, see `timeWithAll`
 */
export function shapeOf(job: Omit<JobRequest, 'owner'>, secondsUsed = 0): string {
  const { kind, gpus, gpuType, gpuMemoryMiB, maxSeconds } = job;
  const timeClass = Math.ceil(stepsPerDoubling * Math.log2(Math.max(1, maxSeconds)));
  const most = gpusCounted({ ...job, gpus: job.gpusMost ?? gpus });
  const level = beamtime.levelsGpuSeconds.filter((bound) => secondsUsed * most >= bound).length;
  const words = [kind, gpus, gpuType ?? '', gpuMemoryMiB ?? '', timeClass];
  if (isElastic(job)) words.push(`to ${job.gpusMost}`);
  if (sharesGpu(job)) words.push(`${shareWord}${job.gpuShareMilli}`);
  return (level === 0 ? words : [...words, `level ${level}`]).join('/');
}

/** GPUs of the jobs of a shape, of elastic ones the fewest: its second word. */
export function gpusOfShape(shape: string): number {
  return Number(shape.split('/', 2)[1]);
}

const shareWord = 'milli ';
/** At the end, behind all that people may write. */
const sharePattern = new RegExp(`/${shareWord}(\\d+)(?:/level \\d+)?$`);

/** The share that a shape asks for, in thousandths of a GPU. */
export function shareOfShape(shape: string): number {
  const found = sharePattern.exec(markOf(shape).bare);
  return found === null ? wholeGpuMilli : Number(found[1]);
}

const under = ' under ';
/** Without a `/` in an id: what people wrote as a type of GPU, which others follow by a `/`, is never taken for a mark. */
const keysPattern = /^(?:lab|person|project)\/[^/+]+(?:\+(?:lab|person|project)\/[^/+]+)*$/;

/**
 * The shape of a job that stands under these quotas of GPUs, whatever it was marked with before. Jobs at such a limit
 * thereby have heads of their own, and neither hide others behind them nor have to be gone through.
 */
export function markedShape(shape: string, quotaKeys: readonly string[]): string {
  const { bare } = markOf(shape);
  return quotaKeys.length === 0 ? bare : `${bare}${under}${[...quotaKeys].sort().join('+')}`;
}

/** A shape without its mark, and the quotas of GPUs that the mark names. */
export function markOf(shape: string): { readonly bare: string; readonly quotaKeys: readonly string[] } {
  const at = shape.lastIndexOf(under);
  const keys = at < 0 ? '' : shape.slice(at + under.length);
  if (!keysPattern.test(keys)) return { bare: shape, quotaKeys: [] };
  return { bare: shape.slice(0, at), quotaKeys: keys.split('+') };
}

/** A shape that some waiting job has. */
export interface WaitingShape {
  readonly owner: string;
  readonly shape: string;
  readonly gpus: number;
  /** GPUs left under the quotas that its mark names; absent: it names none. */
  readonly roomGpus?: number;
}

/** First jobs read of a shape, however little is free: some may be declined, or gone when their offers are made. */
export const headsLeast = 3;
/** First jobs read of a shape, however much is free: the next decision follows within the second. */
const headsMost = 1_000;
/** Waiting jobs in one decision, if there are many shapes: where more could start, the next decision follows at once. */
const headsInAll = 2_000;

/** Of shapes that find no room at present, if there are many: each has its first job seen, for whom room can be made. */
const headsWithoutRoomInAll = 600;

/**
 * How many of the first jobs of each shape a decision has to see, with so many GPUs free, so many of them in one
 * cluster at most, and so much in GPUs that are shared already, in thousandths.
 */
export function headsOf(
  shapes: readonly WaitingShape[],
  freeGpus: number,
  freeInOneCluster = freeGpus,
  freeSharedMilli = 0,
): number[] {
  const count = Math.max(1, shapes.length);
  const most = Math.max(headsLeast, Math.min(headsMost, Math.floor(headsInAll / count)));
  const withoutRoom = Math.max(1, Math.min(headsLeast, Math.floor(headsWithoutRoomInAll / count)));
  return shapes.map(({ gpus, shape, roomGpus = Number.POSITIVE_INFINITY }) => {
    const shareMilli = shareOfShape(shape);
    const isShared = shareMilli < wholeGpuMilli;
    const free = Math.max(0, freeGpus);
    const startable = Math.min(
      isShared ? (free * wholeGpuMilli + freeSharedMilli) / shareMilli : free / gpus,
      Math.max(0, roomGpus) / gpus,
    );
    const lacksRoom = isShared ? startable < 1 : gpus > Math.min(freeInOneCluster, roomGpus);
    return lacksRoom ? withoutRoom : Math.min(most, headsLeast + Math.floor(startable));
  });
}
