import type { LabWire } from '@beamtime/contracts';
import { err, type LabId, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import type { Tx } from '@beamtime/platform';

/** A member of the consortium. */
export interface Lab {
  readonly labId: LabId;
  readonly slug: string;
  readonly name: string;
  readonly contributionWeight: number;
  readonly inArrears: boolean;
  readonly createdAt: Date;
}

export const labColumns = `id AS "labId", slug, name, contribution_weight AS "contributionWeight",
  in_arrears AS "inArrears", created_at AS "createdAt"`;

export function labWire(lab: Lab): LabWire {
  return { ...lab, createdAt: lab.createdAt.toISOString() };
}

/** A lab by its id or short name. */
export async function findLab(tx: Tx, ref: string): Promise<Result<Lab, Problem<'resource.not-found'>>> {
  const lab = await tx.row<Lab>(`SELECT ${labColumns} FROM identity.lab WHERE id = $1 OR slug = $1`, [ref]);
  return lab === undefined
    ? err(problem('resource.not-found', `There is no lab ${ref}; \`beamtime labs list\` shows them all`))
    : ok(lab);
}
