import {
  type AdvanceItem,
  acceptAttempt,
  advanceAttempts,
  type BodyOf,
  commitArtifact,
  commitCheckpoint,
  commitEvaluation,
  commitOutputs,
  commitResumable,
  declineAttempt,
  type InputOf,
  type ResponseOf,
  registerAgent,
  reportAttempt,
  reportCommands,
  reportEvents,
  reportLogs,
  requestUploads,
  syncAgent,
} from '@beamtime/contracts';
import { present } from '@beamtime/kernel';
import {
  Agent,
  type AgentPrincipal,
  CONFIG,
  type Config,
  Endpoint,
  Gone,
  Input,
  unwrap,
} from '@beamtime/platform';
import {
  type Advance,
  AdvanceAttempts,
  type AttemptClaim,
  CommitEvaluation,
  CommitFiles,
  LEASE_TIMES,
  type LeaseTimes,
  RecordCommands,
  RecordEvents,
  RecordLogs,
  RegisterAgent,
  SyncAgent,
} from '@beamtime/scheduling';
import { Controller, Inject } from '@nestjs/common';

interface Claimed {
  readonly params: { readonly jobId: string; readonly attempt: number };
  readonly body: { readonly incarnation: number };
}

/** What agents say. Every call for an attempt is fenced by its number and the agent's incarnation. */
@Controller()
export class AgentsController {
  constructor(
    @Inject(RegisterAgent) private readonly register: RegisterAgent,
    @Inject(SyncAgent) private readonly syncAgent: SyncAgent,
    @Inject(AdvanceAttempts) private readonly attempts: AdvanceAttempts,
    @Inject(RecordLogs) private readonly logs: RecordLogs,
    @Inject(RecordEvents) private readonly events: RecordEvents,
    @Inject(CommitFiles) private readonly files: CommitFiles,
    @Inject(CommitEvaluation) private readonly evaluations: CommitEvaluation,
    @Inject(RecordCommands) private readonly commands: RecordCommands,
    @Inject(LEASE_TIMES) private readonly times: LeaseTimes,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  @Endpoint(registerAgent)
  async begin(
    @Input() input: InputOf<typeof registerAgent>,
    @Agent() agent: AgentPrincipal,
  ): Promise<ResponseOf<typeof registerAgent>> {
    const { clusterName, incarnation } = unwrap(
      await this.register.execute({ clusterId: agent.clusterId, ...input.body }),
    );
    const { leaseTtlMs, longPollMs, pollIntervalMs, stopMarginMs } = this.times;
    return {
      clusterId: agent.clusterId,
      clusterName,
      labId: agent.labId,
      incarnation,
      times: { leaseTtlMs, longPollMs, pollIntervalMs, stopMarginMs },
      gatewayUrls: this.config.BEAMTIME_GATEWAY_URLS.split(',')
        .map((url) => url.trim())
        .filter((url) => url !== ''),
      serverTime: new Date().toISOString(),
    };
  }

  @Endpoint(syncAgent)
  async sync(
    @Input() input: InputOf<typeof syncAgent>,
    @Agent() agent: AgentPrincipal,
    @Gone() gone: AbortSignal,
  ): Promise<ResponseOf<typeof syncAgent>> {
    return unwrap(await this.syncAgent.execute({ clusterId: agent.clusterId, ...input.body }, gone));
  }

  @Endpoint(advanceAttempts)
  async advance(
    @Input() input: InputOf<typeof advanceAttempts>,
    @Agent() agent: AgentPrincipal,
  ): Promise<ResponseOf<typeof advanceAttempts>> {
    const { incarnation, items } = input.body;
    const results = unwrap(
      await this.attempts.execute({ clusterId: agent.clusterId, incarnation, items: items.map(advanceOf) }),
    );
    return {
      results: results.map((one) =>
        one.ok
          ? { ok: true, assignment: one.value }
          : { ok: false, problem: { code: one.error.code, detail: one.error.detail } },
      ),
    };
  }

  @Endpoint(acceptAttempt)
  async accept(
    @Input() input: InputOf<typeof acceptAttempt>,
    @Agent() agent: AgentPrincipal,
  ): Promise<ResponseOf<typeof acceptAttempt>> {
    return present(
      unwrap(await this.attempts.one(claim(agent, input), { kind: 'accept' })),
      'an assignment for what was accepted',
    );
  }

  @Endpoint(declineAttempt)
  async decline(@Input() input: InputOf<typeof declineAttempt>, @Agent() agent: AgentPrincipal) {
    const { reason, code } = input.body;
    unwrap(await this.attempts.one(claim(agent, input), { kind: 'decline', reason, code }));
    return {};
  }

  @Endpoint(reportAttempt)
  async report(@Input() input: InputOf<typeof reportAttempt>, @Agent() agent: AgentPrincipal) {
    unwrap(await this.attempts.one(claim(agent, input), { kind: 'report', ...reportOf(input.body) }));
    return {};
  }

  @Endpoint(reportLogs)
  async reportLogs(
    @Input() input: InputOf<typeof reportLogs>,
    @Agent() agent: AgentPrincipal,
  ): Promise<ResponseOf<typeof reportLogs>> {
    return unwrap(await this.logs.execute(claim(agent, input), input.body.chunks));
  }

  @Endpoint(reportEvents)
  async reportEvents(
    @Input() input: InputOf<typeof reportEvents>,
    @Agent() agent: AgentPrincipal,
  ): Promise<ResponseOf<typeof reportEvents>> {
    return unwrap(await this.events.execute(claim(agent, input), input.body.events));
  }

  @Endpoint(requestUploads)
  async uploads(
    @Input() input: InputOf<typeof requestUploads>,
    @Agent() agent: AgentPrincipal,
  ): Promise<ResponseOf<typeof requestUploads>> {
    return { files: unwrap(await this.files.grantUploads(claim(agent, input), input.body.files)) };
  }

  @Endpoint(commitCheckpoint)
  async checkpoint(
    @Input() input: InputOf<typeof commitCheckpoint>,
    @Agent() agent: AgentPrincipal,
  ): Promise<ResponseOf<typeof commitCheckpoint>> {
    return unwrap(await this.files.commitCheckpoint(claim(agent, input), input.body));
  }

  @Endpoint(commitResumable)
  async resumable(
    @Input() input: InputOf<typeof commitResumable>,
    @Agent() agent: AgentPrincipal,
  ): Promise<ResponseOf<typeof commitResumable>> {
    return unwrap(await this.files.commitResumable(claim(agent, input), input.body));
  }

  @Endpoint(commitEvaluation)
  async evaluation(
    @Input() input: InputOf<typeof commitEvaluation>,
    @Agent() agent: AgentPrincipal,
  ): Promise<ResponseOf<typeof commitEvaluation>> {
    return unwrap(await this.evaluations.execute(claim(agent, input), input.body));
  }

  @Endpoint(commitArtifact)
  async artifact(
    @Input() input: InputOf<typeof commitArtifact>,
    @Agent() agent: AgentPrincipal,
  ): Promise<ResponseOf<typeof commitArtifact>> {
    return unwrap(await this.files.commitArtifact(claim(agent, input), input.body));
  }

  @Endpoint(reportCommands)
  async reportCommands(
    @Input() input: InputOf<typeof reportCommands>,
    @Agent() agent: AgentPrincipal,
  ): Promise<ResponseOf<typeof reportCommands>> {
    return unwrap(await this.commands.report(claim(agent, input), input.body));
  }

  @Endpoint(commitOutputs)
  async outputs(
    @Input() input: InputOf<typeof commitOutputs>,
    @Agent() agent: AgentPrincipal,
  ): Promise<ResponseOf<typeof commitOutputs>> {
    return unwrap(await this.commands.commit(claim(agent, input), input.body.outputs));
  }
}

function advanceOf(item: AdvanceItem): Advance {
  return item.kind === 'report' ? { ...item, ...reportOf(item) } : item;
}

function reportOf({ state, reason, exitCode, retriable }: Omit<BodyOf<typeof reportAttempt>, 'incarnation'>) {
  return { state, reason: reason ?? null, exitCode: exitCode ?? null, retriable };
}

function claim(agent: AgentPrincipal, input: Claimed): AttemptClaim {
  return {
    clusterId: agent.clusterId,
    incarnation: input.body.incarnation,
    jobId: input.params.jobId,
    attempt: input.params.attempt,
  };
}
