import { type BallotBox, whole } from './ballot-box.js';
import type { CertifiedWinner } from './certificate.js';
import { type Count, certifiedPrice, grainOf, losersOf, noRoomReason } from './certify.js';
import { votedIn } from './certify-greedy.js';
import { savedFor, timesOf } from './certify-phragmen.js';
import { chargeShares, leftOfSupporters, type SharesAccount } from './charge-shares.js';
import { equalShares } from './equal-shares.js';
import { takeGreedily } from './greedy.js';
import { phragmen } from './phragmen.js';
import { lcm, rational, zero } from './rational.js';
import type { ShareOutcome } from './share-out.js';
import type { EqualSharesRule } from './tally-input.js';

export function countByEqualShares(box: BallotBox, rule: EqualSharesRule): Count {
  const { shares, raises, overrun } = equalShares(box, rule);
  const grain = lcm(grainOfShares(shares), overrun ? grainOfShares(overrun) : 1n);
  const account = chargeShares(box, shares, grain);
  if (rule.completion === 'phragmen') return completeByPhragmen(box, shares, account, grain);
  const chosen = chosenBy(shares);
  const filled =
    rule.completion === 'add1u'
      ? takeGreedily(box, { utility: 'cost', skip: true, chosen })
      : { winners: [], ties: [] };
  const won = [...chosen, ...filled.winners];
  const unaffordable = (project: number) => ({
    code: 'unaffordable' as const,
    left: leftOfSupporters(box, account, project).map(String),
  });
  return {
    winners: [...sharedFor(box, shares, account, grain, 1n), ...votedIn(box, filled.winners)],
    losers: losersOf(
      box,
      won,
      rule.completion === 'add1u' ? noRoomReason(box, won, undefined, grain) : unaffordable,
    ),
    ties: [...shares.ties, ...filled.ties],
    endowment: endowmentOf(shares, grain),
    raises,
    grain,
    ...(overrun ? { overrun: overrun.purchases.map((one) => certifiedPrice(box, one, grain)) } : {}),
  };
}

/** Goes on with Phragmén, everyone keeping what Equal Shares left them. */
function completeByPhragmen(
  box: BallotBox,
  shares: ShareOutcome,
  account: SharesAccount,
  sharesGrain: bigint,
): Count {
  const chosen = chosenBy(shares);
  const left = account.left[0] ?? [];
  const balances = left.map((amount) => rational(amount, sharesGrain));
  const outcome = phragmen(box, { skip: true, after: { chosen, balances } });
  const grain = lcm(sharesGrain, grainOf(timesOf(outcome)));
  const finer = grain / sharesGrain;
  const won = [...chosen, ...outcome.purchases.map(({ project }) => project)];
  const saved = savedFor(
    box,
    outcome,
    left.map((amount) => amount * finer),
    grain,
  );
  return {
    winners: [...sharedFor(box, shares, account, grain, finer), ...saved],
    losers: losersOf(box, won, noRoomReason(box, won, undefined, grain)),
    ties: [...shares.ties, ...outcome.ties],
    endowment: endowmentOf(shares, grain),
    grain,
  };
}

const chosenBy = (shares: ShareOutcome): number[] => shares.purchases.map(({ project }) => project);

function grainOfShares({ endowment, purchases }: ShareOutcome): bigint {
  return grainOf([...endowment, ...purchases.flatMap(({ prices }) => prices)]);
}

/** The purchases with who paid what; the account is coarser than the certificate by `finer`. */
function sharedFor(
  box: BallotBox,
  shares: ShareOutcome,
  account: SharesAccount,
  grain: bigint,
  finer: bigint,
): CertifiedWinner[] {
  return shares.purchases.map((purchase, place) => ({
    ...certifiedPrice(box, purchase, grain),
    by: 'equal-shares',
    payments: (account.payments[place] ?? []).map(({ amounts, groups }) => ({
      amounts: amounts.map((amount) => String(amount * finer)),
      groups,
    })),
  }));
}

function endowmentOf({ endowment }: ShareOutcome, grain: bigint): bigint {
  return whole(endowment[0] ?? zero, grain);
}
