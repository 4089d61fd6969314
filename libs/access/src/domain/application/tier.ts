import type { Unit } from '@beamtime/kernel';

/** How much proof a request needs: a small one the secretariat may award at once, a large one needs a panel. */
export type Tier = 'small' | 'large';

/** Up to here, of each unit, an application is small: enough to try an idea, too little to hurt anybody. */
export const smallAtMost: Readonly<Record<Unit, number>> = {
  gpu_seconds: 3_600,
  output_tokens: 100_000,
  activation_bytes: 1_000_000_000,
};

export function tierOf(requested: readonly { readonly unit: Unit; readonly amount: number }[]): Tier {
  return requested.every(({ unit, amount }) => amount <= smallAtMost[unit]) ? 'small' : 'large';
}
