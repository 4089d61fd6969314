import type { DoubleMajorityInput, DoubleMajorityOutcome } from '../domain/tally/double-majority.js';
import { canonicalText, demand, equal, fraction, total } from './audit-arithmetic.js';

/** Counts both majorities of one question again. */
export function auditMajorities(
  proposal: string,
  input: DoubleMajorityInput,
  said: DoubleMajorityOutcome,
): void {
  const labs = input.votes.map(({ lab }) => lab);
  demand(new Set(labs).size === labs.length, `${proposal}: a lab votes twice`);
  const counted = input.votes.filter((vote) => !vote.inArrears && vote.vote !== 'abstain');
  const yes = counted.filter(({ vote }) => vote === 'yes');
  const all = total(counted.map(({ contribution }) => contribution));
  const forIt = total(yes.map(({ contribution }) => contribution));
  const [shareOf, outOf] = fraction(input.share ?? '2/3');
  const enough = (part: string, whole: string): boolean => {
    const [pn, pd] = fraction(part);
    const [wn, wd] = fraction(whole);
    return wn > 0n && pn * wd * outOf >= shareOf * wn * pd;
  };
  const byLabs = enough(`${yes.length}`, `${counted.length}`);
  const byContributions = equal(all, '0') ? byLabs : enough(forIt, all);
  const quorate = counted.length >= (input.quorum ?? 0);
  const why = !quorate
    ? 'no_quorum'
    : !byLabs
      ? 'labs_short'
      : !byContributions
        ? 'contributions_short'
        : 'adopted';
  const adopted = why === 'adopted';
  demand(said.adopted === adopted, `${proposal}: it is ${adopted ? '' : 'not '}adopted by these votes`);
  demand(said.reason === why, `${proposal}: the reason is ${why}`);
  const barred = input.votes.filter((vote) => vote.inArrears).map(({ lab }) => lab);
  demand(canonicalText(said.barred) === canonicalText(barred), `${proposal}: the labs in arrears are others`);
  demand(
    said.labsYes === yes.length && said.labsVoting === counted.length,
    `${proposal}: the labs are miscounted`,
  );
  demand(
    equal(said.contributionsYes, forIt) && equal(said.contributionsVoting, all),
    `${proposal}: the contributions are miscounted`,
  );
}
