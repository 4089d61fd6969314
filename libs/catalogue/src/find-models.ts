import {
  type InputOf,
  type listEvaluations,
  type listModels,
  type listNeighbours,
  type listRevisions,
  type ModelView,
  modelFactorsSchema,
  type Provenance,
  type ResponseOf,
  type showConfounding,
  type showLandscape,
} from '@beamtime/contracts';
import { err, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import { Transactor } from '@beamtime/platform';
import { confounding, neighbours } from '@beamtime/suites';
import { Inject, Injectable } from '@nestjs/common';
import { countLandscape } from './domain/count-landscape.js';
import { describeModels } from './domain/describe-model.js';
import {
  comparable,
  factorsOf,
  findRevision,
  type ModelRecord,
  modelView,
  type RevisionRecord,
  readModels,
  readRevisions,
} from './postgres/read-models.js';
import type { Viewer } from './viewer.js';

type NotFound = Problem<'resource.not-found'>;
type NoRevision = Problem<'resource.not-found' | 'catalogue.behaviour-only'>;

/** Questions to the catalogue about models. What a viewer may not see is not there. */
@Injectable()
export class FindModels {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  async list(
    viewer: Viewer,
    query: InputOf<typeof listModels>['query'],
  ): Promise<Result<{ items: ModelView[]; next: string | null }, Problem<'request.invalid'>>> {
    const factors = factorFilter(query.factor);
    if (!factors.ok) return factors;
    const records = await readModels(this.transactor.read, viewer, {
      ...(query.suiteId === undefined ? {} : { suiteId: query.suiteId }),
      ...(query.state === undefined ? {} : { state: query.state }),
      ...(query.name === undefined ? {} : { namePart: query.name }),
      ...(query.after === undefined ? {} : { after: query.after.toLowerCase() }),
      factors: factors.value,
      limit: query.limit,
    });
    const last = records.length === query.limit ? records.at(-1) : undefined;
    return ok({ items: records.map(modelView), next: last?.name ?? null });
  }

  /** Models with weights, by name. */
  withWeights(
    viewer: Viewer,
    filter: {
      readonly search: string | undefined;
      readonly after: string | undefined;
      readonly limit: number;
    },
  ): Promise<ModelRecord[]> {
    const { search, after, limit } = filter;
    return readModels(this.transactor.read, viewer, {
      ...(search === undefined ? {} : { namePart: search }),
      ...(after === undefined ? {} : { after: after.toLowerCase() }),
      withWeights: true,
      limit,
    });
  }

  /** A model by its id or name. */
  async record(viewer: Viewer, model: string): Promise<Result<ModelRecord, NotFound>> {
    const [record] = await readModels(this.transactor.read, viewer, { models: [model], limit: 1 });
    return record === undefined ? err(noModel(model)) : ok(record);
  }

  async show(
    viewer: Viewer,
    model: string,
  ): Promise<Result<ModelView & { provenance: Provenance }, NotFound>> {
    const found = await this.record(viewer, model);
    if (!found.ok) return found;
    return ok({ ...modelView(found.value), provenance: await this.provenance(found.value) });
  }

  private async provenance(record: ModelRecord): Promise<Provenance> {
    const tx = this.transactor.read;
    const revisions = await readRevisions(tx, record.id);
    const divergences = await tx.rows<{ step: number; attempt: number; weights_sha256: string | null }>(
      'SELECT step, attempt, weights_sha256 FROM catalogue.divergence WHERE model_id = $1 ORDER BY step, attempt',
      [record.id],
    );
    const environment = record.resolved?.['environment'];
    const flops = record.resolved?.['flops'];
    return {
      origin: isClosed(record) ? 'listing' : record.suite_id === null ? 'import' : 'suite',
      source: record.source,
      upstream:
        record.upstream === null || record.upstream_model === null
          ? null
          : { name: record.upstream, model: record.upstream_model },
      attempts: record.attempts,
      clusters: [...new Set(revisions.flatMap((one) => (one.cluster_id === null ? [] : [one.cluster_id])))],
      gpuSeconds: record.gpu_seconds === null ? null : Number(record.gpu_seconds),
      flops: typeof flops === 'number' ? flops : null,
      environment: typeof environment === 'object' ? (environment as Record<string, unknown> | null) : null,
      chainSha256: revisions.at(-1)?.chain_sha256 ?? null,
      divergences: divergences.map((one) => ({
        step: one.step,
        attempt: one.attempt,
        weightsSha256: one.weights_sha256,
      })),
      resolved: record.resolved,
    };
  }

  async revisions(
    viewer: Viewer,
    model: string,
  ): Promise<Result<ResponseOf<typeof listRevisions>, NotFound>> {
    const found = await this.record(viewer, model);
    if (!found.ok) return found;
    const records = await readRevisions(this.transactor.read, found.value.id);
    return ok({ items: records.map(revisionView) });
  }

  /** A revision with its files: by `main`, `step1000` or its commit. */
  async revision(
    viewer: Viewer,
    model: string,
    revision: string,
  ): Promise<Result<{ model: ModelRecord; revision: RevisionRecord }, NoRevision>> {
    const found = await this.record(viewer, model);
    if (!found.ok) return found;
    if (isClosed(found.value)) return err(behaviourOnly(found.value.name));
    const record = await findRevision(this.transactor.read, found.value.id, revision);
    if (record === undefined) {
      return err(
        problem('resource.not-found', `${found.value.name} has no revision ${revision}`, { revision }),
      );
    }
    return ok({ model: found.value, revision: record });
  }

  async evaluations(
    viewer: Viewer,
    model: string,
    page: InputOf<typeof listEvaluations>['query'],
  ): Promise<Result<ResponseOf<typeof listEvaluations>, NotFound>> {
    const found = await this.record(viewer, model);
    if (!found.ok) return found;
    const offset = Number(page.after ?? 0);
    const rows = await this.transactor.read.rows<EvaluationRecord>(
      `SELECT * FROM catalogue.evaluation WHERE model_id = $1 ORDER BY step, reported_at, job_id LIMIT $2 OFFSET $3`,
      [found.value.id, page.limit, Number.isSafeInteger(offset) && offset >= 0 ? offset : 0],
    );
    const items = rows.map((row) => ({
      jobId: row.job_id,
      studyId: row.study_id,
      revision: `step${row.step}`,
      step: row.step,
      results: row.results,
      receipt: row.receipt,
      reportedAt: row.reported_at.toISOString(),
    }));
    return ok({ items, next: items.length === page.limit ? String(offset + items.length) : null });
  }

  async neighbours(
    viewer: Viewer,
    model: string,
  ): Promise<Result<ResponseOf<typeof listNeighbours>, NotFound>> {
    const found = await this.record(viewer, model);
    if (!found.ok) return found;
    const records = await readModels(this.transactor.read, viewer, {});
    const items = records.flatMap((other) => {
      const [mine, theirs] = describeModels([comparable(found.value), comparable(other)]);
      if (mine === undefined || theirs === undefined) return [];
      const [neighbour] = neighbours(mine, [theirs]);
      if (neighbour === undefined) return [];
      const { factor } = neighbour;
      return [
        {
          modelId: other.id,
          name: other.name,
          state: other.state,
          factor,
          from: String(mine.factors[factor]),
          to: String(theirs.factors[factor]),
        },
      ];
    });
    return ok({ items });
  }

  async confounding(
    viewer: Viewer,
    set: InputOf<typeof showConfounding>['body'],
  ): Promise<Result<ResponseOf<typeof showConfounding>, NotFound>> {
    const records = await readModels(this.transactor.read, viewer, {
      ...(set.models === undefined ? {} : { models: set.models }),
      ...(set.suiteId === undefined ? {} : { suiteId: set.suiteId }),
    });
    const missing = set.models?.find(
      (one) =>
        !records.some((record) => record.id === one || record.name.toLowerCase() === one.toLowerCase()),
    );
    if (missing !== undefined) return err(noModel(missing));
    if (records.length === 0) return err(problem('resource.not-found', `There is no suite ${set.suiteId}`));
    const report = confounding(describeModels(records.map(comparable)));
    return ok({
      ...report,
      held: [...report.held],
      factors: report.factors.map((one) => ({ ...one, confoundedWith: [...one.confoundedWith] })),
      associations: report.associations.map((one) => ({
        ...one,
        factors: [...one.factors] as [string, string],
      })),
      unanswerable: [...report.unanswerable],
    });
  }

  async landscape(
    viewer: Viewer,
    query: InputOf<typeof showLandscape>['query'],
  ): Promise<ResponseOf<typeof showLandscape>> {
    const records = await readModels(this.transactor.read, viewer, { withWeights: true });
    const found = countLandscape(records.map(factorsOf), query.rows, query.columns, query.split);
    return {
      rows: [...found.rows],
      columns: [...found.columns],
      counts: found.counts.map((row) => [...row]),
      holes: found.holes.map((hole) => ({ ...hole })),
      splits: found.splits.map((split) => ({
        level: split.level,
        counts: split.counts.map((row) => [...row]),
        holes: split.holes.map((hole) => ({ ...hole })),
      })),
    };
  }
}

interface EvaluationRecord {
  job_id: string;
  study_id: string | null;
  step: number;
  results: ResponseOf<typeof listEvaluations>['items'][number]['results'];
  receipt: ResponseOf<typeof listEvaluations>['items'][number]['receipt'];
  reported_at: Date;
}

export function noModel(model: string): NotFound {
  return problem('resource.not-found', `There is no model ${model} that you may see`, { model });
}

/** Whether the weights of a model stay with who offers it, or offered it. */
export function isClosed({ state }: Pick<ModelRecord, 'state'>): boolean {
  return state === 'listed' || state === 'withdrawn';
}

/** What everything that needs weights says of a closed model. */
export function behaviourOnly(model: string): Problem<'catalogue.behaviour-only'> {
  return problem(
    'catalogue.behaviour-only',
    `${model} is a closed model, listed for behaviour only: there are no weights, internals or jobs of it here`,
  );
}

function revisionView(record: RevisionRecord): ResponseOf<typeof listRevisions>['items'][number] {
  return {
    revision: `step${record.step}`,
    step: record.step,
    commit: record.commit,
    tokensSeen: record.tokens_seen === null ? null : Number(record.tokens_seen),
    bytesSeen: record.bytes_seen === null ? null : Number(record.bytes_seen),
    loss: record.loss,
    weightsSha256: record.weights_sha256,
    chainSha256: record.chain_sha256,
    clusterId: record.cluster_id,
    attempt: record.attempt,
    sizeBytes: Number(record.size_bytes),
    committedAt: record.committed_at.toISOString(),
  };
}

/** `language=deu` as a typed level: the schema of the factor says whether it is a number. */
function factorFilter(
  filters: readonly string[],
): Result<Record<string, unknown>, Problem<'request.invalid'>> {
  const levels: Record<string, unknown> = {};
  for (const filter of filters) {
    const cut = filter.indexOf('=');
    const [name, text] = [filter.slice(0, cut), filter.slice(cut + 1)];
    const candidates = [text, Number(text), text === 'true'];
    const schema = (
      modelFactorsSchema.shape as Record<string, { safeParse(v: unknown): { success: boolean } }>
    )[name];
    const level = candidates.find((candidate) => schema?.safeParse(candidate).success);
    if (level === undefined) {
      const known = Object.keys(modelFactorsSchema.shape).join(', ');
      return err(
        problem('request.invalid', `query.factor: ${filter} is no level of a factor; there are ${known}`),
      );
    }
    levels[name] = level;
  }
  return ok(levels);
}
