import type { SuiteDesign, SuiteView } from '@beamtime/contracts';
import { err, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import { isUniqueViolation, newId, Transactor, type Tx } from '@beamtime/platform';
import { type Cell, countParameters, expandSuite, type InvalidSuite, invalidSuite } from '@beamtime/suites';
import { Inject, Injectable } from '@nestjs/common';
import { plannedFactors } from './domain/describe-model.js';
import { suiteViews } from './postgres/read-suites.js';

export interface NewSuite {
  readonly suiteId: string;
  readonly design: SuiteDesign;
  readonly origin: 'round' | 'secretariat';
  readonly roundId: string | null;
  readonly proposalId: string | null;
  readonly labId: string | null;
  readonly certificateSha256: string | null;
  readonly gpuSecondsReserved: number;
  readonly actor: string;
}

/** A name that is taken by an earlier suite gets a number. */
const renamesAtMost = 1_000;
/** Models inserted per statement. */
const insertBatch = 500;

/** Enters a suite and plans its models. Repeating it for the same suite id changes nothing. */
export async function adoptSuite(tx: Tx, suite: NewSuite): Promise<Result<void, InvalidSuite>> {
  const known = await tx.row('SELECT 1 FROM catalogue.suite WHERE id = $1', [suite.suiteId]);
  if (known !== undefined) return ok(undefined);
  const named = await underFreeName(tx, suite.design);
  if (!named.ok) return named;
  const { design, cells } = named.value;
  await tx.rows(
    `INSERT INTO catalogue.suite
       (id, name, title, design, origin, round_id, proposal_id, lab_id, certificate_sha256, gpu_seconds_reserved)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
    [
      suite.suiteId,
      design.name,
      design.title,
      JSON.stringify(design),
      suite.origin,
      suite.roundId,
      suite.proposalId,
      suite.labId,
      suite.certificateSha256,
      suite.gpuSecondsReserved,
    ],
  );
  const models = cells.map((cell) => ({
    id: newId('Model'),
    name: cell.name,
    levels: cell.levels,
    factors: plannedFactors(cell, design.training, countParameters(cell, design.training.contextTokens)),
  }));
  for (let from = 0; from < models.length; from += insertBatch) {
    await tx.rows(
      `INSERT INTO catalogue.model (id, name, name_key, state, visibility, suite_id, lab_id, created_by, levels, factors)
       SELECT r.id, r.name, lower(r.name), 'planned', 'public', $2, $3, $4, r.levels, r.factors
       FROM jsonb_to_recordset($1) AS r(id text, name text, levels jsonb, factors jsonb)`,
      [JSON.stringify(models.slice(from, from + insertBatch)), suite.suiteId, suite.labId, suite.actor],
    );
  }
  await tx.audit({
    actor: suite.actor,
    action: 'suite.entered',
    subject: suite.suiteId,
    details: {
      name: design.name,
      models: models.length,
      roundId: suite.roundId,
      proposalId: suite.proposalId,
    },
  });
  return ok(undefined);
}

/** The design under its own name, or, where a suite or model has that already, with a number after it. */
async function underFreeName(
  tx: Tx,
  wanted: SuiteDesign,
): Promise<Result<{ readonly design: SuiteDesign; readonly cells: readonly Cell[] }, InvalidSuite>> {
  for (let number = 1; number <= renamesAtMost; number++) {
    const design = number === 1 ? wanted : { ...wanted, name: `${wanted.name}-${number}` };
    const cells = expandSuite(design);
    if (!cells.ok) return cells;
    const taken = await tx.row(
      `SELECT 1 WHERE EXISTS (SELECT 1 FROM catalogue.suite WHERE name = $1)
          OR EXISTS (SELECT 1 FROM catalogue.model WHERE name_key = ANY($2))`,
      [design.name, cells.value.map((cell) => cell.name.toLowerCase())],
    );
    if (taken === undefined) return ok({ design, cells: cells.value });
  }
  return err(invalidSuite('name', `${wanted.name} and ${renamesAtMost} numbered names are taken`));
}

/** A suite that no round decided on. */
@Injectable()
export class CreateSuite {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  async execute(
    design: SuiteDesign,
    by: { readonly actor: string; readonly labId: string | null },
  ): Promise<Result<SuiteView, InvalidSuite | Problem<'resource.exists'>>> {
    const suiteId = newId('Suite');
    try {
      return await this.transactor.run<SuiteView, InvalidSuite | Problem<'resource.exists'>>(async (tx) => {
        const adopted = await adoptSuite(tx, {
          suiteId,
          design,
          origin: 'secretariat',
          roundId: null,
          proposalId: null,
          labId: by.labId,
          certificateSha256: null,
          gpuSecondsReserved: 0,
          actor: by.actor,
        });
        if (!adopted.ok) return adopted;
        const [view] = await suiteViews(tx, { ids: [suiteId] });
        // A person can choose another name; a round's decision cannot, and gets a number.
        return view === undefined || view.name !== design.name ? err(nameTaken(design.name)) : ok(view);
      });
    } catch (error) {
      if (isUniqueViolation(error)) return err(nameTaken(design.name));
      throw error;
    }
  }
}

function nameTaken(name: string): Problem<'resource.exists'> {
  return problem(
    'resource.exists',
    `There is a suite or a model named ${name} already; choose another name`,
    {
      name,
    },
  );
}
