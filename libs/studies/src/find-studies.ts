import type {
  InputOf,
  listStudies,
  ResponseOf,
  StudyView,
  showStudy,
  showStudyChain,
} from '@beamtime/contracts';
import { err, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import { Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import type { StudyMaterial, StudyModel, StudyViewer } from './ports.js';

type NotFound = Problem<'resource.not-found'>;

interface StudyRecord {
  id: string;
  title: string;
  description: string;
  state: StudyView['state'];
  /** Studies of the first version know no minimal pairs. */
  definition: { heldOut: StudyMaterial[]; minimalPairs?: StudyMaterial[]; headScores: boolean };
  lab_id: string | null;
  created_by: string;
  created_at: Date;
  ended_at: Date | null;
  models: number;
  jobs: Record<string, number> | null;
  revisions_expected: number;
  revisions_done: number;
}

/** Studies that a viewer may see, newest first, with their progress. */
export async function readStudies(
  tx: Tx,
  viewer: StudyViewer,
  filter: { readonly studyId?: string; readonly before?: string; readonly limit?: number },
): Promise<(StudyView & { readonly definition: ResponseOf<typeof showStudy>['definition'] })[]> {
  const records = await tx.rows<StudyRecord>(
    `SELECT s.*, j.*, r.revisions_done FROM studies.study s
     LEFT JOIN LATERAL (
       SELECT sum(n)::int AS models, jsonb_object_agg(state, n) AS jobs, sum(expected)::int AS revisions_expected
       FROM (SELECT state, count(*)::int AS n, sum(revisions_expected) AS expected FROM studies.study_job
             WHERE study_id = s.id GROUP BY state) x
     ) j ON true
     LEFT JOIN LATERAL (
       SELECT count(*)::int AS revisions_done FROM studies.study_result WHERE study_id = s.id
     ) r ON true
     WHERE ($1::text IS NULL OR s.id = $1) AND ($2::text IS NULL OR s.id < $2)
       AND (NOT s.is_private OR $3::boolean OR s.lab_id = ANY($4))
     ORDER BY s.id DESC LIMIT $5`,
    [filter.studyId ?? null, filter.before ?? null, viewer.seesAll, [...viewer.labIds], filter.limit ?? 1],
  );
  return records.map((record) => ({
    studyId: record.id,
    title: record.title,
    description: record.description,
    state: record.state,
    labId: record.lab_id,
    createdBy: record.created_by,
    createdAt: record.created_at.toISOString(),
    endedAt: record.ended_at?.toISOString() ?? null,
    models: record.models ?? 0,
    jobs: record.jobs ?? {},
    revisionsExpected: record.revisions_expected ?? 0,
    revisionsDone: record.revisions_done,
    definition: { minimalPairs: [], ...record.definition },
  }));
}

interface MemberRecord {
  model_id: string;
  job_id: string;
  state: 'running' | 'succeeded' | 'failed' | 'cancelled';
  reason: string | null;
  model: StudyModel;
  revisions_expected: number;
  revisions_done: number;
}

/** Questions about studies. A study of private models is there for its lab alone. */
@Injectable()
export class FindStudies {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  async list(
    viewer: StudyViewer,
    query: InputOf<typeof listStudies>['query'],
  ): Promise<ResponseOf<typeof listStudies>> {
    const found = await readStudies(this.transactor.read, viewer, {
      ...(query.after === undefined ? {} : { before: query.after }),
      limit: query.limit,
    });
    const items = found.map(({ definition: _, ...study }) => study);
    return { items, next: items.length === query.limit ? (items.at(-1)?.studyId ?? null) : null };
  }

  async show(viewer: StudyViewer, studyId: string): Promise<Result<ResponseOf<typeof showStudy>, NotFound>> {
    const [study] = await readStudies(this.transactor.read, viewer, { studyId });
    if (study === undefined) return err(problem('resource.not-found', `There is no study ${studyId}`));
    const members = await this.members(studyId);
    return ok({
      ...study,
      members: members.map((member) => ({
        modelId: member.model_id,
        name: member.model.name,
        jobId: member.job_id,
        state: member.state,
        reason: member.reason,
        revisionsExpected: member.revisions_expected,
        revisionsDone: member.revisions_done,
      })),
    });
  }

  async chain(
    viewer: StudyViewer,
    studyId: string,
  ): Promise<Result<ResponseOf<typeof showStudyChain>, NotFound>> {
    const [study] = await readStudies(this.transactor.read, viewer, { studyId });
    if (study === undefined) return err(problem('resource.not-found', `There is no study ${studyId}`));
    const members = await this.members(studyId);
    return ok({
      studyId,
      figure: `/studies/${studyId}/figure.svg`,
      links: members.map(({ job_id, model }) => ({
        evaluationJobId: job_id,
        modelId: model.modelId,
        model: model.name,
        trainingJobId: model.trainingJobId,
        suiteId: model.suiteId,
        proposalId: model.proposalId,
        roundId: model.roundId,
        certificateSha256: model.certificateSha256,
      })),
    });
  }

  private members(studyId: string): Promise<MemberRecord[]> {
    return this.transactor.read.rows<MemberRecord>(
      `SELECT j.*, (SELECT count(*)::int FROM studies.study_result r
                    WHERE r.study_id = j.study_id AND r.model_id = j.model_id) AS revisions_done
       FROM studies.study_job j WHERE study_id = $1 ORDER BY j.model->>'name'`,
      [studyId],
    );
  }
}
