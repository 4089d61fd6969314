/**
 * How far a reader of a job's stream has come, in each of the three things that it is told of. It is the `id` of every
 * server-sent event, so that a reader that was cut off goes on where it was.
 */
export interface JobCursor {
  /** Last event of the history. */
  readonly event: number;
  /** Last metric point: attempt, then step. */
  readonly metric: readonly [number, number];
  /** Last chunk of the log: attempt, then number of the chunk. */
  readonly log: readonly [number, number];
}

export const fromTheBeginning: JobCursor = { event: 0, metric: [0, -1], log: [0, -1] };

export function cursorText({ event, metric, log }: JobCursor): string {
  return `e${event}m${metric.join('.')}l${log.join('.')}`;
}

/** The cursor that a text stands for; undefined for anything else, which no honest reader sends. */
export function readCursor(text: string | undefined): JobCursor | undefined {
  const found = /^e(\d{1,15})m(\d{1,6})\.(-1|\d{1,15})l(\d{1,6})\.(-1|\d{1,15})$/.exec(text ?? '');
  if (found === null) return undefined;
  const [event = 0, m0 = 0, m1 = 0, l0 = 0, l1 = 0] = found.slice(1).map(Number);
  return { event, metric: [m0, m1], log: [l0, l1] };
}

export function isLater(a: readonly [number, number], b: readonly [number, number]): boolean {
  return a[0] > b[0] || (a[0] === b[0] && a[1] > b[1]);
}

/** Whether everything that `base` has seen has been seen by `cursor` too. */
export function covers(cursor: JobCursor, base: JobCursor): boolean {
  return cursor.event >= base.event && !isLater(base.metric, cursor.metric) && !isLater(base.log, cursor.log);
}
