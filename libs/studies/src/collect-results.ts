import type { FactConsumer, Tx } from '@beamtime/platform';
import { studyState } from './domain/study-lifecycle.js';

/** What studies learn from the jobs that they asked for. Each handler may run twice without harm. */
export const studiesConsumer: FactConsumer = {
  name: 'studies',
  handlers: {
    'evaluation.reported': async ({ payload }, tx) => {
      if (payload.studyId === null) return;
      const { evaluations, receipt } = payload.results;
      await tx.rows(
        `INSERT INTO studies.study_result (study_id, model_id, step, findings, receipt, reported_at)
         SELECT $1, $2, $3, $4, $5, $6
         WHERE EXISTS (SELECT 1 FROM studies.study_job WHERE study_id = $1 AND job_id = $7)
         ON CONFLICT DO NOTHING`,
        [
          payload.studyId,
          payload.modelId,
          payload.step,
          JSON.stringify(evaluations),
          receipt === null ? null : JSON.stringify(receipt),
          payload.at,
          payload.jobId,
        ],
      );
    },
    'job.ended': async ({ payload }, tx) => {
      if (payload.kind !== 'evaluate') return;
      const ended = await tx.row<{ study_id: string }>(
        `UPDATE studies.study_job SET state = $2, reason = $3 WHERE job_id = $1 AND state = 'running' RETURNING study_id`,
        [payload.jobId, payload.state, payload.reason],
      );
      if (ended !== undefined) await settleStudy(tx, ended.study_id);
    },
  },
};

async function settleStudy(tx: Tx, studyId: string): Promise<void> {
  // Two last jobs that end at once take turns on the study.
  await tx.rows('SELECT 1 FROM studies.study WHERE id = $1 FOR UPDATE', [studyId]);
  const jobs = await tx.rows<{ state: string }>('SELECT state FROM studies.study_job WHERE study_id = $1', [
    studyId,
  ]);
  const state = studyState(jobs.map((job) => job.state));
  if (state === 'running') return;
  await tx.changed(
    `UPDATE studies.study SET state = $2, ended_at = now() WHERE id = $1 AND state = 'running'`,
    [studyId, state],
  );
}
