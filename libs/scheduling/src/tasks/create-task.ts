import {
  type FileEntry,
  type GpuAccountRef,
  type ProblemCode,
  schedulingLimits,
  type TesTaskRequest,
} from '@beamtime/contracts';
import { err, type JobId, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import { Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { SubmitJob } from '../jobs/submit-job.js';
import {
  commandOf,
  keptDocument,
  type SpaceInput,
  spaceInputsOf,
  stagedPath,
  type TaskFault,
  type TaskWishes,
} from './plan-task.js';
import { lookUp } from './spaces.js';

/** For whom a task runs; the app has found out and checked it. */
export interface TaskOwner {
  /** Null where an allocation pays: such a task runs on the consortium's share. */
  readonly labId: string | null;
  readonly account: GpuAccountRef | null;
  /** Whose files it may write. */
  readonly space: string;
  /** Whose files it may read. */
  readonly readable: readonly string[];
  readonly submittedBy: string;
}

type Created = Result<{ readonly jobId: JobId }, Problem<ProblemCode>>;

/** Makes a task of GA4GH TES a job of kind `command`, with its inputs as they are now. */
@Injectable()
export class CreateTask {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(SubmitJob) private readonly submit: SubmitJob,
  ) {}

  /** Adds what is wrong with the task to `faults`; the app answers them all together. */
  execute(task: TesTaskRequest, wishes: TaskWishes, owner: TaskOwner, faults: TaskFault[]): Promise<Created> {
    return this.transactor.run(async (tx) => {
      const staged = await this.stage(tx, task, owner, faults);
      const command = commandOf(task, staged, owner.space, faults);
      if (command === undefined || faults.length > 0) return err(invalid(faults));
      const poor = await whyNoMachine(tx, command);
      if (poor !== undefined) return err(poor);
      const submitted = await this.submit.execute(
        {
          kind: 'command',
          name: task.name?.trim().slice(0, 200) || 'task',
          runner: command,
          inputs: [...staged.values()].flat(),
          resources: wishes.resources,
          labId: owner.labId,
          suiteId: null,
          modelId: null,
          studyId: null,
          priority: wishes.priority,
          attemptLimit: wishes.attemptLimit,
          requestKey: null,
          account: owner.account,
          submittedBy: owner.submittedBy,
        },
        tx,
      );
      if (!submitted.ok) return submitted;
      await tx.rows(
        `INSERT INTO scheduling.task (job_id, space, name, tags, document, notices) VALUES ($1, $2, $3, $4, $5, $6)`,
        [
          submitted.value.jobId,
          owner.space,
          task.name ?? '',
          JSON.stringify(task.tags ?? {}),
          JSON.stringify(keptDocument(task)),
          JSON.stringify(wishes.notices),
        ],
      );
      return ok({ jobId: submitted.value.jobId });
    });
  }

  private async stage(
    tx: Tx,
    task: TesTaskRequest,
    owner: TaskOwner,
    faults: TaskFault[],
  ): Promise<Map<number, FileEntry[]>> {
    const staged = new Map<number, FileEntry[]>();
    let room = schedulingLimits.inputsPerJob;
    for (const input of spaceInputsOf(task, faults)) {
      const found = await this.inputFiles(tx, task, input, owner, room, faults);
      room -= found.length;
      staged.set(input.index, found);
    }
    return staged;
  }

  private async inputFiles(
    tx: Tx,
    task: TesTaskRequest,
    input: SpaceInput,
    owner: TaskOwner,
    room: number,
    faults: TaskFault[],
  ): Promise<FileEntry[]> {
    const path = `body.inputs.${input.index}.url`;
    if (!owner.readable.includes(input.space)) {
      faults.push({ path, message: `${input.space} is not yours to read` });
      return [];
    }
    const found = await lookUp(tx, input, stagedPath(task.inputs?.[input.index]?.path ?? ''), room);
    if (found.length === 0) faults.push({ path, message: 'there is no such file' });
    if (found.length > room)
      faults.push({ path, message: `a task has up to ${schedulingLimits.inputsPerJob} input files` });
    return found;
  }
}

function invalid(faults: readonly TaskFault[]): Problem<ProblemCode> {
  const [first] = faults;
  const more = faults.length > 1 ? ` (and ${faults.length - 1} more)` : '';
  return problem('request.invalid', `${first?.path}: ${first?.message}${more}`);
}

/**
 * Processors and memory are no resource that is shared out among jobs, so a decision does not count them; what no
 * machine that takes commands has at all is refused at once.
 */
async function whyNoMachine(
  tx: Tx,
  command: { readonly cpus: number | null; readonly memoryMiB: number | null },
): Promise<Problem<ProblemCode> | undefined> {
  const { cpus, memoryMiB } = command;
  if (cpus === null && memoryMiB === null) return undefined;
  const rows = await tx.rows<{ cpus: number; memory: number }>(
    `SELECT (inventory->>'cpus')::float8 AS cpus, (inventory->>'memoryMiB')::float8 AS memory
     FROM scheduling.cluster
     WHERE state <> 'retired' AND inventory IS NOT NULL AND policy->'kinds' @> '["command"]'`,
  );
  // Without any such cluster the scheduler itself says what is missing.
  if (rows.length === 0) return undefined;
  if (rows.some((row) => row.cpus >= (cpus ?? 0) && row.memory >= (memoryMiB ?? 0))) return undefined;
  const most = rows.reduce((best, row) => (row.cpus > best.cpus ? row : best));
  return problem(
    'scheduling.unschedulable',
    `No cluster could ever run this job: it needs ${cpus ?? 'any number of'} processors and ${memoryMiB ?? 'any'} MiB of memory, and of the clusters that take commands none has both (the largest has ${most.cpus} processors and ${most.memory} MiB)`,
  );
}
