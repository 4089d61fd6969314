import type {
  CommandResult,
  TesState,
  TesTask,
  TesTaskLog,
  TesTaskRequest,
  TesView,
} from '@beamtime/contracts';
import { Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import type { AttemptState } from '../domain/attempt-lifecycle.js';
import type { JobState } from '../domain/job-lifecycle.js';
import { factsOfState, taskStateOf } from '../domain/task-state.js';

/** Whose tasks somebody may see; null for all. */
export interface TaskReader {
  readonly spaces: readonly string[] | null;
  readonly personId: string;
}

export interface TaskQuery {
  readonly namePrefix: string | undefined;
  readonly state: TesState | undefined;
  /** An empty value matches any. */
  readonly tags: ReadonlyMap<string, string>;
  readonly limit: number;
  /** Tasks older than this one. */
  readonly before: string | undefined;
  readonly view: TesView;
}

interface TaskRecord {
  job_id: string;
  name: string;
  document: TesTaskRequest;
  notices: string[];
  job_state: JobState;
  job_reason: string | null;
  attempts: number;
  cancel_requested: boolean;
  submitted_at: Date;
  attempt_state: AttemptState | null;
  command_failed: boolean;
}

interface AttemptLog {
  job_id: string;
  number: number;
  state: AttemptState;
  cluster_name: string;
  running_at: Date | null;
  accepted_at: Date | null;
  ended_at: Date | null;
  reason: string | null;
  gpu_seconds: string;
  report: { results?: CommandResult[]; notices?: string[]; hostName?: string } | null;
  outputs: { path: string; url: string; sizeBytes: number }[] | null;
}

const columns = `t.job_id, t.name, t.document, t.notices, j.state AS job_state, j.reason AS job_reason, j.attempts,
  j.cancel_requested_at IS NOT NULL AS cancel_requested, j.submitted_at, a.state AS attempt_state,
  coalesce(l.command_failed, false) AS command_failed`;
const tables = `scheduling.task t JOIN scheduling.job j ON j.id = t.job_id
  LEFT JOIN scheduling.attempt a ON a.job_id = j.id AND a.number = j.attempts
  LEFT JOIN scheduling.command_log l ON l.job_id = j.id AND l.attempt = j.attempts`;
/** The same text as `factsKey` writes. */
const factsSql = `j.state || '/' || coalesce(a.state, '') || '/' || (j.cancel_requested_at IS NOT NULL)::text
  || '/' || coalesce(l.command_failed, false)::text`;
const mine = '($1::text[] IS NULL OR t.space = ANY($1) OR j.submitted_by = $2)';

/** Tasks as GA4GH TES tells them. */
@Injectable()
export class ReadTasks {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  async find(jobId: string, reader: TaskReader, view: TesView): Promise<TesTask | undefined> {
    const rows = await this.transactor.read.rows<TaskRecord>(
      `SELECT ${columns} FROM ${tables} WHERE ${mine} AND t.job_id = $3`,
      [reader.spaces, reader.personId, jobId],
    );
    return (await this.tell(rows, view))[0];
  }

  /** Newest first. */
  async list(reader: TaskReader, query: TaskQuery): Promise<{ tasks: TesTask[]; next: string | undefined }> {
    const parameters: unknown[] = [reader.spaces, reader.personId];
    const where = [mine];
    const add = (condition: (place: string) => string, value: unknown): void => {
      parameters.push(value);
      where.push(condition(`$${parameters.length}`));
    };
    if (query.before !== undefined) add((p) => `t.job_id < ${p}`, query.before);
    if (query.namePrefix !== undefined && query.namePrefix !== '')
      add((p) => `starts_with(t.name, ${p})`, query.namePrefix);
    if (query.state !== undefined) add((p) => `(${factsSql}) = ANY(${p})`, factsOfState(query.state));
    const exact = Object.fromEntries([...query.tags].filter(([, value]) => value !== ''));
    if (Object.keys(exact).length > 0) add((p) => `t.tags @> ${p}::jsonb`, JSON.stringify(exact));
    const any = [...query.tags].filter(([, value]) => value === '').map(([key]) => key);
    if (any.length > 0) add((p) => `t.tags ?& ${p}::text[]`, any);
    parameters.push(query.limit + 1);
    const rows = await this.transactor.read.rows<TaskRecord>(
      `SELECT ${columns} FROM ${tables} WHERE ${where.join(' AND ')}
       ORDER BY t.job_id DESC LIMIT $${parameters.length}`,
      parameters,
    );
    const page = rows.slice(0, query.limit);
    return {
      tasks: await this.tell(page, query.view),
      next: rows.length > query.limit ? page.at(-1)?.job_id : undefined,
    };
  }

  private async tell(rows: readonly TaskRecord[], view: TesView): Promise<TesTask[]> {
    if (view === 'MINIMAL') return rows.map((row) => ({ id: row.job_id, state: stateOf(row) }));
    const logs = await this.logsOf(rows.map((row) => row.job_id));
    return rows.map((row) => taskView(row, logs.get(row.job_id) ?? [], view));
  }

  private async logsOf(jobIds: readonly string[]): Promise<Map<string, AttemptLog[]>> {
    // An offer that nobody took is not a try at the task.
    const rows = await this.transactor.read.rows<AttemptLog>(
      `SELECT a.job_id, a.number, a.state, c.name AS cluster_name, a.running_at, a.accepted_at, a.ended_at, a.reason,
         a.gpu_seconds, l.report, l.outputs
       FROM scheduling.attempt a JOIN scheduling.cluster c ON c.id = a.cluster_id
       LEFT JOIN scheduling.command_log l ON l.job_id = a.job_id AND l.attempt = a.number
       WHERE a.job_id = ANY($1) AND a.accepted_at IS NOT NULL ORDER BY a.job_id, a.number`,
      [jobIds],
    );
    const logs = new Map<string, AttemptLog[]>();
    for (const row of rows) logs.set(row.job_id, [...(logs.get(row.job_id) ?? []), row]);
    return logs;
  }
}

function stateOf(row: TaskRecord): TesState {
  return taskStateOf({
    job: row.job_state,
    attempt: row.attempt_state,
    cancelRequested: row.cancel_requested,
    commandFailed: row.command_failed,
  });
}

/** BASIC leaves out what may be large: content, what commands printed, system logs. */
function taskView(row: TaskRecord, attempts: readonly AttemptLog[], view: 'BASIC' | 'FULL'): TesTask {
  const { inputs, outputs, executors, ...rest } = row.document;
  const full = view === 'FULL';
  const told = attempts.map((attempt) => logView(attempt, full));
  const system = [...row.notices, ...(row.job_reason === null ? [] : [row.job_reason])];
  const last = told.at(-1);
  if (full && system.length > 0) {
    if (last === undefined) told.push({ logs: [], outputs: [], system_logs: system });
    else last.system_logs = [...(last.system_logs ?? []), ...system];
  }
  return {
    id: row.job_id,
    state: stateOf(row),
    ...rest,
    ...(inputs === undefined
      ? {}
      : {
          inputs: inputs.map(({ content, ...input }) => ({
            ...input,
            type: input.type ?? 'FILE',
            ...(full && content !== undefined ? { content } : {}),
          })),
        }),
    ...(outputs === undefined
      ? {}
      : { outputs: outputs.map((output) => ({ ...output, type: output.type ?? 'FILE' })) }),
    executors: executors.map((executor) => ({ ...executor })),
    logs: told,
    creation_time: row.submitted_at.toISOString(),
  } as TesTask;
}

function logView(attempt: AttemptLog, full: boolean): TesTaskLog {
  const results = attempt.report?.results ?? [];
  const started = attempt.running_at ?? attempt.accepted_at;
  const system = [
    `attempt ${attempt.number} on cluster ${attempt.cluster_name}: ${attempt.state}${attempt.reason === null ? '' : `, ${attempt.reason}`}`,
    ...(attempt.report?.notices ?? []),
  ];
  return {
    // A command that still runs has no exit code, and the specification demands one: it is told when it has ended.
    logs: results
      .filter((result) => result.exitCode !== null)
      .map((result) => ({
        start_time: result.startedAt,
        ...(result.endedAt === null ? {} : { end_time: result.endedAt }),
        ...(full ? { stdout: result.stdoutTail, stderr: result.stderrTail } : {}),
        exit_code: result.exitCode ?? 0,
      })),
    metadata: {
      attempt: String(attempt.number),
      cluster: attempt.cluster_name,
      gpu_seconds: attempt.gpu_seconds,
      ...(attempt.report?.hostName === undefined ? {} : { host: attempt.report.hostName }),
    },
    ...(started === null ? {} : { start_time: started.toISOString() }),
    ...(attempt.ended_at === null ? {} : { end_time: attempt.ended_at.toISOString() }),
    outputs: (attempt.outputs ?? []).map(({ path, url, sizeBytes }) => ({
      path,
      url,
      size_bytes: String(sizeBytes),
    })),
    ...(full ? { system_logs: system } : {}),
  };
}
