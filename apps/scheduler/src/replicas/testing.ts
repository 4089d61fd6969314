import { randomUUID } from 'node:crypto';
import { LendToOperations } from '@beamtime/access';
import type { ModelId } from '@beamtime/kernel';
import { newId } from '@beamtime/platform';
import type { SchedulingForTest } from '../testing.js';

/** A model of the test's lab, with weights that weigh nothing. */
export async function seedModel(at: SchedulingForTest, more: { suiteId?: string } = {}): Promise<ModelId> {
  const modelId = newId('Model');
  const name = `model-${randomUUID().slice(0, 8)}`;
  await at.transactor.do(async (tx) => {
    await tx.rows(
      `INSERT INTO catalogue.model (id, name, name_key, state, visibility, suite_id, lab_id, created_by, factors, ready_at)
       VALUES ($1, $2, $2, 'imported', 'public', $3, $4, $5, '{}', now())`,
      [modelId, name, more.suiteId ?? null, at.labId, at.principal.personId],
    );
    await tx.rows(
      `INSERT INTO catalogue.revision (model_id, step, commit, files, size_bytes) VALUES ($1, 1, $2, '[]', 0)`,
      [modelId, randomUUID().replaceAll('-', '')],
    );
  });
  return modelId;
}

/** GPU-seconds from which models are served. */
export async function fundOperations(at: SchedulingForTest, gpuSeconds = 10_000_000): Promise<void> {
  const lent = await at.service.app
    .get(LendToOperations, { strict: false })
    .execute(
      { personId: at.principal.personId, memberships: [{ labId: null, role: 'secretariat' }] } as never,
      { loanId: randomUUID(), labId: at.labId, gpuSeconds, reason: 'test' },
    );
  if (!lent.ok) throw new Error(lent.error.detail);
}
