import { type BallotBox, whole } from './ballot-box.js';
import type { CertifiedWinner } from './certificate.js';
import { type Count, grainOf, idOf, losersOf, noRoomReason } from './certify.js';
import { type PhragmenOutcome, phragmen } from './phragmen.js';
import type { Rational } from './rational.js';
import type { PhragmenRule } from './tally-input.js';

export function countByPhragmen(box: BallotBox, rule: PhragmenRule): Count {
  const outcome = phragmen(box, { skip: rule.skip });
  const won = outcome.purchases.map(({ project }) => project);
  const { stop } = outcome;
  const grain = grainOf(timesOf(outcome));
  return {
    winners: savedFor(box, outcome, [], grain),
    losers: losersOf(box, won, noRoomReason(box, won, stop?.project, grain)),
    ties: outcome.ties,
    grain,
    ...(stop
      ? { stop: { project: idOf(box, stop.project), prices: [String(whole(stop.time, grain))] } }
      : {}),
  };
}

/** Every moment at which something was bought, or would have been. */
export function timesOf({ purchases, stop }: PhragmenOutcome): Rational[] {
  return [...purchases, ...(stop ? [stop] : [])].map(({ time }) => time);
}

/** What each winner's supporters had saved when it was bought; `balances` is what groups had to begin with. */
export function savedFor(
  box: BallotBox,
  outcome: PhragmenOutcome,
  balances: readonly bigint[],
  grain: bigint,
): CertifiedWinner[] {
  const since = box.groups.map((_, group) => -(balances[group] ?? 0n));
  return outcome.purchases.map(({ project, time: moment }) => {
    const time = whole(moment, grain);
    const levels = new Map<bigint, number[]>();
    for (let k = box.supportStart[project] as number; k < (box.supportStart[project + 1] as number); k++) {
      const group = box.supportGroup[k] as number;
      const start = since[group] as bigint;
      since[group] = time;
      const level = levels.get(start);
      if (level) level.push(group);
      else levels.set(start, [group]);
    }
    const payments = [...levels].map(([start, groups]) => ({ amounts: [String(time - start)], groups }));
    return { project: idOf(box, project), by: 'phragmen', prices: [String(time)], payments };
  });
}
