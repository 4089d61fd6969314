import type { ProposalBody } from '@beamtime/contracts';
import { err, ok, problem, type Result } from '@beamtime/kernel';
import { decides } from '../domain/charter.js';
import { budgetsOf, charterOf, type Refusal, type RoundRecord } from '../postgres/rounds.js';
import type { AnalyseSuite } from './analyse-suite.js';

export interface ProposalCost {
  readonly gpuType: string | null;
  readonly gpuSeconds: number | null;
}

/** Whether the round can decide this proposal and some budget could pay it, and what it would cost. */
export async function costProposal(
  analyseSuite: AnalyseSuite,
  round: RoundRecord,
  body: ProposalBody,
): Promise<Result<ProposalCost, Refusal>> {
  const charter = charterOf(round);
  if (!decides(charter.rule, body.kind)) {
    return err(
      problem(
        'governance.invalid-proposal',
        `This round shares out GPU time by ${charter.rule.name}; a ${body.kind} needs a round by schulze or double-majority`,
      ),
    );
  }
  if (body.kind !== 'suite') return ok({ gpuType: null, gpuSeconds: null });
  const analysis = await analyseSuite.execute(body.design);
  if (!analysis.ok) return analysis;
  const { gpuSeconds } = analysis.value;
  const budgets = budgetsOf(round);
  const asked = body.design.resources.gpuType;
  // Where a round does not tell GPU types apart, its one budget pays for every type.
  const budget =
    budgets.length === 1 && charter.gpuTypes[0] === 'any'
      ? budgets[0]
      : budgets.find((one) => one.gpuType === asked);
  if (budget === undefined) {
    return err(
      problem(
        'governance.unknown-gpu-type',
        `The suite asks for GPU type ${asked ?? '(none named)'}; this round has budgets for ${charter.gpuTypes.join(', ')}`,
        { gpuTypes: charter.gpuTypes },
      ),
    );
  }
  if (gpuSeconds > budget.gpuSeconds) {
    return err(
      problem(
        'governance.over-budget',
        `The suite is estimated at ${gpuSeconds} GPU-seconds; the labs have pledged ${budget.gpuSeconds} of GPU type ${budget.gpuType} so far`,
        { gpuSeconds, budgetGpuSeconds: budget.gpuSeconds, gpuType: budget.gpuType },
      ),
    );
  }
  return ok({ gpuType: budget.gpuType, gpuSeconds });
}
