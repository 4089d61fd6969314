import {
  type InputOf,
  type ResponseOf,
  tesBackendParameters,
  tesCancelTask,
  tesCreateTask,
  tesGetTask,
  tesListTasks,
  tesServiceInfo,
  tesVersion,
} from '@beamtime/contracts';
import { Directory } from '@beamtime/identity';
import {
  Caller,
  CONFIG,
  type Config,
  deny,
  Endpoint,
  hasLabRole,
  hasRole,
  Input,
  labsOf,
  type PersonPrincipal,
  type Principal,
  ProblemException,
  unwrap,
} from '@beamtime/platform';
import {
  CancelJob,
  CreateTask,
  type JobRecord,
  ReadTasks,
  type TaskFault,
  type TaskOwner,
  wishesOf,
} from '@beamtime/scheduling';
import { Controller, Inject } from '@nestjs/common';
import { readerOf, spacesOf, type TaskCaller, taskCaller } from './task-caller.js';

/** The roles that may submit a job of a lab. */
const submitters = ['researcher', 'operator', 'delegate', 'deputy'] as const;

/** GA4GH TES 1.1 over the jobs of the consortium: a task is a job of kind `command`. */
@Controller()
export class TesController {
  constructor(
    @Inject(CreateTask) private readonly create: CreateTask,
    @Inject(ReadTasks) private readonly tasks: ReadTasks,
    @Inject(CancelJob) private readonly cancelJob: CancelJob,
    @Inject(Directory) private readonly directory: Directory,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  @Endpoint(tesServiceInfo)
  info(): ResponseOf<typeof tesServiceInfo> {
    const url = this.config.BEAMTIME_PUBLIC_URL ?? 'https://beamtime.example';
    const host = new URL(url).hostname;
    return {
      id: [...host.split('.').reverse(), 'beamtime', 'tes'].join('.'),
      name: 'Beamtime',
      description: `Tasks run as jobs on the clusters of the consortium's labs that take commands. Keys of backend_parameters: ${Object.entries(
        tesBackendParameters,
      )
        .map(([key, meaning]) => `${key}: ${meaning}`)
        .join('. ')}.`,
      type: { group: 'org.ga4gh', artifact: 'tes', version: tesVersion },
      organization: { name: 'The consortium', url },
      documentationUrl: new URL('/docs', url).href,
      version: '0.1.0',
      storage: ['beamtime://'],
      tesResources_backend_parameters: Object.keys(tesBackendParameters),
    };
  }

  @Endpoint(tesListTasks)
  async list(
    @Input() input: InputOf<typeof tesListTasks>,
    @Caller() principal: Principal | undefined,
  ): Promise<ResponseOf<typeof tesListTasks>> {
    const { query } = input;
    if (query.tag_value.length > query.tag_key.length)
      refuse([{ path: 'query.tag_value', message: 'there are more values than keys' }]);
    const { tasks, next } = await this.tasks.list(readerOf(taskCaller(principal)), {
      namePrefix: query.name_prefix,
      state: query.state,
      tags: new Map(query.tag_key.map((key, index) => [key, query.tag_value[index] ?? ''])),
      limit: query.page_size,
      before: query.page_token === undefined || query.page_token === '' ? undefined : query.page_token,
      view: query.view,
    });
    return { tasks, ...(next === undefined ? {} : { next_page_token: next }) };
  }

  @Endpoint(tesCreateTask)
  async submit(
    @Input() input: InputOf<typeof tesCreateTask>,
    @Caller() principal: Principal | undefined,
  ): Promise<ResponseOf<typeof tesCreateTask>> {
    const caller = taskCaller(principal);
    const faults: TaskFault[] = [];
    const wishes = wishesOf(input.body, faults);
    const owner = await this.ownerOf(caller, wishes.lab, faults);
    const created = await this.create.execute(input.body, wishes, owner, faults);
    if (faults.length > 0) refuse(faults);
    return { id: unwrap(created).jobId };
  }

  @Endpoint(tesGetTask)
  async show(
    @Input() input: InputOf<typeof tesGetTask>,
    @Caller() principal: Principal | undefined,
  ): Promise<ResponseOf<typeof tesGetTask>> {
    return (
      (await this.tasks.find(input.params.id, readerOf(taskCaller(principal)), input.query.view)) ??
      noTask(input.params.id)
    );
  }

  @Endpoint(tesCancelTask)
  async cancel(
    @Input() input: InputOf<typeof tesCancelTask>,
    @Caller() principal: Principal | undefined,
  ): Promise<ResponseOf<typeof tesCancelTask>> {
    const caller = taskCaller(principal);
    const { id } = input.params;
    if ((await this.tasks.find(id, readerOf(caller), 'MINIMAL')) === undefined) noTask(id);
    unwrap(
      await this.cancelJob.execute({
        jobId: id,
        reason: `cancelled by ${caller.personId}`,
        actor: caller.personId,
        allowed: (job) => mayCancel(caller, job),
      }),
    );
    return {};
  }

  /** A key runs for its allocation, which pays. A person runs for a lab of theirs, on its own share. */
  private async ownerOf(caller: TaskCaller, wanted: string | null, faults: TaskFault[]): Promise<TaskOwner> {
    const head = { submittedBy: caller.personId, readable: spacesOf(caller) };
    if (caller.kind === 'api-key') {
      const { allocationId } = caller;
      if (wanted !== null) labFault(faults, 'with an API key its allocation pays; leave the lab out');
      return { ...head, labId: null, account: { kind: 'allocation', allocationId }, space: allocationId };
    }
    const labId = await this.labOf(caller, wanted, faults);
    // As for any other job of a lab: it is not charged for work on its own share; the time bound still binds.
    return { ...head, labId, account: null, space: labId };
  }

  private async labOf(caller: PersonPrincipal, wanted: string | null, faults: TaskFault[]): Promise<string> {
    const labs = labsOf(caller).filter((labId) => hasLabRole(caller, labId, ...submitters));
    if (labs.length === 0) {
      deny(
        'auth.forbidden',
        `Tasks are submitted by people of a lab with one of the roles ${submitters.join(', ')}`,
      );
    }
    if (wanted !== null) {
      const { labId } = unwrap(await this.directory.lab(wanted));
      if (!labs.includes(labId)) deny('auth.forbidden', `You may not submit for ${wanted}`);
      return labId;
    }
    const [only = '', ...others] = labs;
    if (others.length > 0) labFault(faults, `needed, since you belong to several labs: ${labs.join(', ')}`);
    return only;
  }
}

function labFault(faults: TaskFault[], message: string): void {
  faults.push({ path: 'body.resources.backend_parameters.beamtime_lab', message });
}

/** The same shape as any request that does not fit its schema. */
function refuse(faults: readonly TaskFault[]): never {
  const [first] = faults;
  const more = faults.length > 1 ? ` (and ${faults.length - 1} more)` : '';
  throw new ProblemException(
    { code: 'request.invalid', detail: `${first?.path}: ${first?.message}${more}` },
    faults.slice(0, 20),
  );
}

function noTask(id: string): never {
  deny('resource.not-found', `There is no task ${id.slice(0, 100)} that you may see`);
}

function mayCancel(caller: TaskCaller, job: JobRecord): boolean {
  if (job.submitted_by === caller.personId) return true;
  if (caller.kind === 'api-key') return false;
  return (
    hasRole(caller, 'secretariat') ||
    (job.lab_id !== null && hasLabRole(caller, job.lab_id, 'operator', 'delegate'))
  );
}
