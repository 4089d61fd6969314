import type { UnitAmount } from '@beamtime/contracts';
import { type Unit, units } from '@beamtime/kernel';
import { UsageError } from '../core/usage-error.js';

const byName: Readonly<Record<string, Unit>> = {
  ...Object.fromEntries(units.map((unit) => [unit, unit])),
  tokens: 'output_tokens',
  bytes: 'activation_bytes',
};
const factors: Readonly<Record<string, number>> = { '': 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12 };

/** `tokens=200k` or `activation_bytes=5M`, as often as the option is given, as amounts of units. */
export function readAmounts(texts: readonly string[]): UnitAmount[] {
  return texts.map((text) => {
    const [, name = '', digits = '', suffix = ''] = /^([a-z_]+)=(\d+(?:\.\d+)?)([kMGT]?)$/.exec(text) ?? [];
    const unit = byName[name];
    const amount = Math.round(Number(digits) * (factors[suffix] ?? 0));
    if (unit === undefined || amount < 1) {
      throw new UsageError(
        `${text} is no amount of units; write tokens=200k, bytes=5M or gpu_seconds=3600 (k, M, G, T are powers of 1000)`,
      );
    }
    return { unit, amount };
  });
}

/** A day (`2026-12-31`), a time, or a span from now (`90d`) as an ISO time. */
export function readTime(text: string, now: Date): string {
  const days = /^(\d{1,4})d$/.exec(text)?.[1];
  const at = days === undefined ? new Date(text) : new Date(now.getTime() + Number(days) * 86_400_000);
  if (Number.isNaN(at.getTime())) {
    throw new UsageError(
      `${text} is no time; write 2026-12-31, 2026-12-31T12:00:00Z, or 90d for 90 days from now`,
    );
  }
  return at.toISOString();
}

export const collect = (text: string, before: readonly string[] = []): string[] => [...before, text];

/** Thousands apart, as people read them. */
export const grouped = (amount: number): string => amount.toLocaleString('en-GB').replaceAll(',', ' ');

export const minuteOf = (time: string): string => time.slice(0, 16).replace('T', ' ');
