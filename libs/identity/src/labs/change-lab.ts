import { err, ok, type Problem, present, problem, type Result } from '@beamtime/kernel';
import { isUniqueViolation, type PersonPrincipal, Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { findLab, type Lab, labColumns } from './labs.js';

export interface LabChange {
  readonly name?: string | undefined;
  readonly contributionWeight?: number | undefined;
  readonly inArrears?: boolean | undefined;
}

/** Changes what the secretariat keeps about a lab. Rounds froze what they need; only later ones see the change. */
@Injectable()
export class ChangeLab {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  async execute(
    by: PersonPrincipal,
    ref: string,
    change: LabChange,
  ): Promise<Result<Lab, Problem<'resource.not-found' | 'resource.exists'>>> {
    try {
      return await this.transactor.run(async (tx) => {
        const found = await findLab(tx, ref);
        if (!found.ok) return found;
        const lab = present(
          await tx.row<Lab>(
            `UPDATE identity.lab SET name = COALESCE($2, name), contribution_weight = COALESCE($3, contribution_weight),
               in_arrears = COALESCE($4, in_arrears) WHERE id = $1 RETURNING ${labColumns}`,
            [
              found.value.labId,
              change.name ?? null,
              change.contributionWeight ?? null,
              change.inArrears ?? null,
            ],
          ),
          'the lab just found',
        );
        await tx.audit({
          actor: by.personId,
          action: 'lab.change',
          subject: lab.labId,
          details: { ...change },
        });
        return ok(lab);
      });
    } catch (error) {
      if (isUniqueViolation(error, 'lab_name_key'))
        return err(problem('resource.exists', `A lab named “${change.name}” exists already`));
      throw error;
    }
  }
}
