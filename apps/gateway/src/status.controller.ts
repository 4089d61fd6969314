import { anyone, FindModels } from '@beamtime/catalogue';
import { facilityStatus, type ResponseOf } from '@beamtime/contracts';
import { ReadRounds } from '@beamtime/governance';
import { Directory } from '@beamtime/identity';
import { invariant } from '@beamtime/kernel';
import { Endpoint, VERSION } from '@beamtime/platform';
import { ClusterViews, JobViews } from '@beamtime/scheduling';
import { Controller, Inject } from '@nestjs/common';

type Status = ResponseOf<typeof facilityStatus>;

/** Rows of each table of the status page: a glance, not an archive. */
const rows = 25;

/** The state of the facility at a glance, put together from the contexts. */
@Controller()
export class StatusController {
  constructor(
    @Inject(VERSION) private readonly version: string,
    @Inject(Directory) private readonly directory: Directory,
    @Inject(ClusterViews) private readonly clusters: ClusterViews,
    @Inject(JobViews) private readonly jobs: JobViews,
    @Inject(ReadRounds) private readonly rounds: ReadRounds,
    @Inject(FindModels) private readonly models: FindModels,
  ) {}

  @Endpoint(facilityStatus)
  async status(): Promise<Status> {
    const labs = await this.directory.labs();
    const labNames = new Map<string, string>(labs.map((lab) => [lab.labId, lab.name]));
    const [clusters, rounds, counts, latest] = await Promise.all([
      this.clusters.list(),
      this.rounds.page({ limit: rows }),
      this.jobs.summarize(),
      this.jobs.list({ limit: rows }),
    ]);
    const byState: Record<string, number> = {};
    for (const { state, jobs } of counts.counts) byState[state] = (byState[state] ?? 0) + jobs;
    return {
      at: new Date().toISOString(),
      version: this.version,
      labs: labs.length,
      clusters: clusters
        .filter((c) => c.state !== 'retired')
        .map((c) => ({
          id: c.clusterId,
          name: c.name,
          lab: labNames.get(c.labId) ?? c.labId,
          state: c.state,
          gpusTotal: c.inventory?.gpus ?? 0,
          gpusBusy: c.gpusBusy,
          lastSeenAt: c.lastSeenAt,
        })),
      rounds: rounds.items.map((r) => ({
        id: r.roundId,
        title: r.title,
        state: r.state,
        proposals: r.proposalCount,
        budgetGpuSeconds: r.budgets.reduce((sum, b) => sum + b.gpuSeconds, 0),
      })),
      jobs: {
        byState,
        latest: latest.items.map((j) => ({
          id: j.jobId,
          kind: j.kind,
          name: j.name,
          state: j.state,
          attempts: j.attempts,
          progress: j.progress?.fraction ?? null,
          cluster: j.clusterName,
          submittedAt: j.submittedAt,
        })),
      },
      models: await this.publicModels(),
    };
  }

  /** Private models are not on a public page. */
  private async publicModels(): Promise<Status['models']> {
    const page = await this.models.list(anyone, { limit: 100, factor: [] });
    invariant(page.ok, 'a list without factors is always valid');
    return page.value.items
      .filter((m) => m.visibility === 'public')
      .slice(0, rows)
      .map((m) => ({
        id: m.modelId,
        name: m.name,
        state: m.state,
        family: m.factors.family,
        language: m.factors.language,
        parameters: m.factors.parameters,
        revisions: m.revisions,
        loss: null,
      }));
  }
}
