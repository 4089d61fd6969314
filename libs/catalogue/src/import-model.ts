import {
  type FileEntry,
  type InputOf,
  type importModel,
  type ModelView,
  modelFactorsSchema,
  type ResponseOf,
} from '@beamtime/contracts';
import { err, ok, type Problem, problem, type Result, statesBefore } from '@beamtime/kernel';
import { newId, OBJECT_STORE, type ObjectStore, Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { modelLifecycle } from './domain/lifecycles.js';
import { noModel } from './find-models.js';
import { modelView, readModels } from './postgres/read-models.js';
import { commitOf } from './record-training.js';
import { uploadOf, uploadTtlMs } from './register-corpus.js';
import { everything } from './viewer.js';

type Announced = InputOf<typeof importModel>['body'];
interface AnnouncedRevision {
  readonly step: number;
  readonly tokensSeen: number | null;
  readonly files: readonly FileEntry[];
}

/** What `from_pretrained` needs at least. */
const configPath = 'config.json';

function objectKeyOf(sha256: string): string {
  return `models/${sha256.slice(0, 2)}/${sha256}`;
}

/** Brings a model that was trained elsewhere into the catalogue, with the factors that are known. */
@Injectable()
export class ImportModel {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(OBJECT_STORE) private readonly store: ObjectStore,
  ) {}

  /** Describes the model and says where its files may be put. The same description again answers the same model. */
  async announce(
    model: Announced,
    personId: string,
  ): Promise<
    Result<
      ResponseOf<typeof importModel>,
      Problem<'resource.exists' | 'request.invalid' | 'object-store.bad-key' | 'server.unavailable'>
    >
  > {
    const fault = faultOf(model);
    if (fault !== undefined) return err(problem('request.invalid', fault));
    const announced: AnnouncedRevision[] = model.revisions.map((revision) => ({
      ...revision,
      files: revision.files.map((file) => ({ ...file, objectKey: objectKeyOf(file.sha256) })),
    }));
    const modelId = await this.transactor.do(async (tx) => {
      await tx.rows(
        `INSERT INTO catalogue.model
           (id, name, name_key, state, visibility, lab_id, source, created_by, factors, announced)
         VALUES ($1, $2, lower($2), 'planned', $3, $4, $5, $6, $7, $8) ON CONFLICT (name_key) DO NOTHING`,
        [
          newId('Model'),
          model.name,
          model.visibility,
          model.labId ?? null,
          model.source ?? null,
          personId,
          JSON.stringify(modelFactorsSchema.parse(model.factors)),
          JSON.stringify(announced),
        ],
      );
      const row = await tx.row<{ id: string }>(
        `SELECT id FROM catalogue.model WHERE name = $1 AND created_by = $2 AND announced = $3::jsonb`,
        [model.name, personId, JSON.stringify(announced)],
      );
      return row?.id;
    });
    if (modelId === undefined) {
      return err(
        problem('resource.exists', `There is another model named ${model.name}; choose another name`),
      );
    }
    const uploads: ResponseOf<typeof importModel>['uploads'] = [];
    const files = new Map(announced.flatMap((one) => one.files).map((file) => [file.sha256, file]));
    for (const file of files.values()) {
      const head = await this.store.head(file.objectKey);
      if (head.ok && head.value.sizeBytes === file.sizeBytes) {
        uploads.push({ sha256: file.sha256, upload: null });
        continue;
      }
      const signed = await this.store.presignPut(file.objectKey, {
        ttlMs: uploadTtlMs,
        sizeBytes: file.sizeBytes,
        sha256: file.sha256,
      });
      if (!signed.ok) return signed;
      uploads.push({ sha256: file.sha256, upload: uploadOf(signed.value) });
    }
    return ok({ modelId, name: model.name, uploads });
  }

  /** All files are in the store: the model can be loaded from now on. */
  async commit(
    modelRef: string,
    personId: string,
  ): Promise<
    Result<
      ModelView,
      Problem<
        | 'resource.not-found'
        | 'auth.forbidden'
        | 'object-store.not-found'
        | 'object-store.bad-key'
        | 'server.unavailable'
        | 'state.illegal-transition'
      >
    >
  > {
    const [model] = await readModels(this.transactor.read, everything, { models: [modelRef], limit: 1 });
    if (model === undefined || model.announced === null) return err(noModel(modelRef));
    if (model.created_by !== personId) {
      return err(problem('auth.forbidden', 'Only who began an import completes it'));
    }
    const announced = model.announced as readonly AnnouncedRevision[];
    for (const file of new Map(announced.flatMap((one) => one.files).map((f) => [f.sha256, f])).values()) {
      const head = await this.store.head(file.objectKey);
      if (!head.ok) {
        return head.error.code === 'object-store.not-found'
          ? err(
              problem('object-store.not-found', `${file.path} has not been uploaded`, {
                sha256: file.sha256,
              }),
            )
          : head;
      }
      if (head.value.sizeBytes !== file.sizeBytes) {
        return err(problem('object-store.not-found', `${file.path} was uploaded with another length`));
      }
    }
    await this.transactor.do(async (tx) => {
      const changed = await tx.changed(
        `UPDATE catalogue.model SET state = 'imported', ready_at = now() WHERE id = $1 AND state = ANY($2)`,
        [model.id, statesBefore(modelLifecycle, 'imported')],
      );
      if (changed === 0) return;
      for (const revision of announced) {
        const weights = revision.files.filter((file) => file.path === 'model.safetensors');
        await tx.rows(
          `INSERT INTO catalogue.revision (model_id, step, commit, tokens_seen, weights_sha256, files, size_bytes)
           VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
          [
            model.id,
            revision.step,
            commitOf(model.id, revision.step, revision.files),
            revision.tokensSeen,
            weights[0]?.sha256 ?? null,
            JSON.stringify(revision.files),
            revision.files.reduce((sum, file) => sum + file.sizeBytes, 0),
          ],
        );
      }
      await tx.audit({
        actor: personId,
        action: 'model.imported',
        subject: model.id,
        details: { name: model.name, revisions: announced.length, visibility: model.visibility },
      });
    });
    const [imported] = await readModels(this.transactor.read, everything, { models: [model.id], limit: 1 });
    return imported === undefined ? err(noModel(modelRef)) : ok(modelView(imported));
  }
}

function faultOf(model: Announced): string | undefined {
  if (model.visibility === 'private' && model.labId === undefined) {
    return 'body.labId: a private model belongs to a lab; say which';
  }
  const steps = new Set<number>();
  for (const [index, { step, files }] of model.revisions.entries()) {
    if (steps.has(step)) return `body.revisions.${index}.step: ${step} is listed twice`;
    steps.add(step);
    const paths = new Set(files.map((file) => file.path));
    if (paths.size < files.length) return `body.revisions.${index}.files: a path is listed twice`;
    if (!paths.has(configPath)) return `body.revisions.${index}.files: there is no ${configPath}`;
  }
  return undefined;
}
