import { invariant } from '@beamtime/kernel';
import type { BallotBox } from './ballot-box.js';
import type { ShareOutcome } from './share-out.js';

/** Groups that pay the same for one purchase, per unit of weight in each resource, in 1/grain of scaled money. */
export interface PaymentLevel {
  readonly amounts: readonly bigint[];
  readonly groups: number[];
}

/** Who paid what in a run of Equal Shares, and what is left. */
export interface SharesAccount {
  /** For each purchase. */
  readonly payments: readonly (readonly PaymentLevel[])[];
  /** What a unit of weight of each group has left: left[resource][group]. */
  readonly left: readonly (readonly bigint[])[];
}

/**
 * Charges the purchases once more, in whole numbers and without any double, and proves that each is paid for in
 * full. `grain` must make the endowments and all prices whole.
 */
export function chargeShares(box: BallotBox, outcome: ShareOutcome, grain: bigint): SharesAccount {
  const left = outcome.endowment.map(({ n, d }) => new Array<bigint>(box.groupCount).fill(n * (grain / d)));
  const payments = outcome.purchases.map(({ project, prices }) => {
    const levels = chargePurchase(
      box,
      left,
      project,
      prices.map(({ n, d }) => n * (grain / d)),
    );
    proveCovered(box, project, levels, grain);
    return levels;
  });
  return { payments, left };
}

function chargePurchase(box: BallotBox, left: bigint[][], project: number, prices: bigint[]): PaymentLevel[] {
  const levels = new Map<string | bigint, PaymentLevel>();
  for (let k = box.supportStart[project] as number; k < (box.supportStart[project + 1] as number); k++) {
    const group = box.supportGroup[k] as number;
    const score = BigInt(box.supportScore[k] as number);
    const amounts = prices.map((price, resource) => {
      const purse = left[resource] as bigint[];
      const has = purse[group] as bigint;
      const due = score === 1n ? price : price * score;
      const amount = has < due ? has : due;
      purse[group] = has - amount;
      return amount;
    });
    const key = amounts.length === 1 ? (amounts[0] as bigint) : amounts.join();
    const level = levels.get(key);
    if (level) level.groups.push(group);
    else levels.set(key, { amounts, groups: [group] });
  }
  return [...levels.values()];
}

function proveCovered(box: BallotBox, project: number, levels: readonly PaymentLevel[], grain: bigint): void {
  for (const [resource, costs] of box.cost.entries()) {
    let paid = 0n;
    for (const { amounts, groups } of levels) {
      const weight = groups.reduce((sum, group) => sum + (box.groupWeight[group] as number), 0);
      paid += (amounts[resource] as bigint) * BigInt(weight);
    }
    invariant(
      paid === (costs[project] as bigint) * grain,
      'a project bought by Equal Shares is paid for exactly',
    );
  }
}

/** What the supporters of a project have left together in each budget, in 1/grain of scaled money. */
export function leftOfSupporters(box: BallotBox, account: SharesAccount, project: number): bigint[] {
  return account.left.map((purse) => {
    let sum = 0n;
    for (let k = box.supportStart[project] as number; k < (box.supportStart[project + 1] as number); k++) {
      const group = box.supportGroup[k] as number;
      const has = purse[group] as bigint;
      if (has !== 0n) sum += has * BigInt(box.groupWeight[group] as number);
    }
    return sum;
  });
}
