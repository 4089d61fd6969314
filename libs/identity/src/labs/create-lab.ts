import { err, ok, type Problem, present, problem, type Result } from '@beamtime/kernel';
import { isUniqueViolation, newId, type PersonPrincipal, Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { type Lab, labColumns } from './labs.js';

/** Admits a lab to the consortium. */
@Injectable()
export class CreateLab {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  async execute(
    by: PersonPrincipal,
    wanted: { readonly slug: string; readonly name: string; readonly contributionWeight: number },
  ): Promise<Result<Lab, Problem<'resource.exists'>>> {
    try {
      return await this.transactor.run(async (tx) => {
        const lab = present(
          await tx.row<Lab>(
            `INSERT INTO identity.lab (id, slug, name, contribution_weight) VALUES ($1, $2, $3, $4) RETURNING ${labColumns}`,
            [newId('Lab'), wanted.slug, wanted.name, wanted.contributionWeight],
          ),
          'the lab just inserted',
        );
        const { slug, name, contributionWeight } = lab;
        await tx.audit({
          actor: by.personId,
          action: 'lab.create',
          subject: lab.labId,
          details: { slug, name, contributionWeight },
        });
        return ok(lab);
      });
    } catch (error) {
      if (isUniqueViolation(error, 'lab_slug_key'))
        return err(problem('resource.exists', `A lab with the short name ${wanted.slug} exists already`));
      if (isUniqueViolation(error, 'lab_name_key'))
        return err(problem('resource.exists', `A lab named “${wanted.name}” exists already`));
      throw error;
    }
  }
}
