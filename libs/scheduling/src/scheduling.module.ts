import { CONFIG, type Config } from '@beamtime/platform';
import { type DynamicModule, Module, type Provider } from '@nestjs/common';
import { AdmitTunnel } from './agent/admit-tunnel.js';
import { AdvanceAttempts } from './agent/advance-attempts.js';
import { CommitEvaluation } from './agent/commit-evaluation.js';
import { CommitFiles } from './agent/commit-files.js';
import { RecordEvents } from './agent/record-events.js';
import { RecordLogs } from './agent/record-logs.js';
import { RegisterAgent } from './agent/register-agent.js';
import { SyncAgent } from './agent/sync-agent.js';
import { AgentBell } from './agent-bell.js';
import { ChangeCluster } from './clusters/change-cluster.js';
import { KnownClusters } from './clusters/known-clusters.js';
import { RegisterCluster } from './clusters/register-cluster.js';
import { RunCycle } from './cycle/run-cycle.js';
import { Scheduler } from './cycle/scheduler.js';
import { Sweep } from './cycle/sweep.js';
import { beamtime, type SharesPolicy } from './domain/policy.js';
import { PlanLate } from './follow/plan-late.js';
import { CancelJob } from './jobs/cancel-job.js';
import { EndAttempt } from './jobs/end-attempt.js';
import { SubmitJob } from './jobs/submit-job.js';
import { leaseTimes } from './lease-times.js';
import { LEASE_TIMES, SHARES_POLICY } from './ports.js';
import { SetQuota } from './quotas/set-quota.js';
import { ClusterViews } from './read/cluster-views.js';
import { ExplainJob } from './read/explain-job.js';
import { JobStream } from './read/job-stream.js';
import { JobTraces } from './read/job-traces.js';
import { JobViews } from './read/job-views.js';
import { ShareViews } from './read/share-views.js';
import { Replicas } from './replicas/replicas.js';
import { CreateTask } from './tasks/create-task.js';
import { ReadTasks } from './tasks/read-tasks.js';
import { RecordCommands } from './tasks/record-commands.js';
import { Spaces } from './tasks/spaces.js';

export interface SchedulingOptions {
  /** Providers of GPU_ACCOUNTS, AGENT_KEYS and JOB_FILES: the app joins them to the contexts that know. */
  readonly ports: readonly Provider[];
  /** Whether this process stands for election as scheduler. The gateway submits and cancels, and does not. */
  readonly schedules: boolean;
  /** Modules that the ports need. */
  readonly imports?: NonNullable<DynamicModule['imports']>;
}

const useCases = [
  AgentBell,
  KnownClusters,
  EndAttempt,
  SubmitJob,
  PlanLate,
  SetQuota,
  CancelJob,
  Replicas,
  RegisterCluster,
  ChangeCluster,
  RegisterAgent,
  SyncAgent,
  AdvanceAttempts,
  RecordLogs,
  RecordEvents,
  CommitFiles,
  CommitEvaluation,
  AdmitTunnel,
  ClusterViews,
  JobViews,
  JobTraces,
  JobStream,
  ExplainJob,
  ShareViews,
  Sweep,
  RunCycle,
  CreateTask,
  ReadTasks,
  RecordCommands,
  Spaces,
];

/** Jobs, clusters, leases. Needs PlatformModule. */
@Module({})
export class SchedulingModule {
  static register(options: SchedulingOptions): DynamicModule {
    return {
      module: SchedulingModule,
      imports: [...(options.imports ?? [])],
      providers: [
        ...options.ports,
        {
          provide: LEASE_TIMES,
          inject: [CONFIG],
          useFactory: (config: Config) => leaseTimes(config.BEAMTIME_LEASE_TTL_MS),
        },
        {
          provide: SHARES_POLICY,
          inject: [CONFIG],
          useFactory: (config: Config): SharesPolicy => ({
            ...beamtime,
            minRunMs: config.BEAMTIME_MIN_RUN_MS,
          }),
        },
        ...useCases,
        ...(options.schedules ? [Scheduler] : []),
      ],
      exports: [...useCases, LEASE_TIMES, ...(options.schedules ? [Scheduler] : [])],
    };
  }
}
