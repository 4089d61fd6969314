import type { FollowedJob, WaitingReason } from '@beamtime/contracts';
import { formatTable } from '../core/format-table.js';

type Why = WaitingReason & {
  readonly position: number | null;
  readonly state: string;
  readonly follows: readonly FollowedJob[];
};

/** The answer in two or three words, before the sentence. */
const headlines: Readonly<Record<string, string>> = {
  running: 'It runs',
  ended: 'It has ended',
  next: 'It is next',
  dependencies: 'Waits for other jobs',
  capacity: 'Waits for GPUs',
  share: 'Waits for its turn',
  reserved: 'Waits behind a reservation',
  quota: 'Waits for room under a quota',
  'cluster-unavailable': 'Waits for a cluster',
  'cluster-policy': 'Waits for the hours of a cluster',
  'retry-later': 'Waits before the next try',
  unschedulable: 'Can never run',
};

/** What a job waits for, what would have to change, and what each cluster says, for a person. */
export function explainWaiting(why: Why): string {
  // A code of a newer facility is shown as it is: its sentence explains it.
  const headline = headlines[why.code] ?? why.code;
  const place = why.position === null ? '' : `, number ${why.position} in turn`;
  const lines = [`${headline}${place}.`, sentence(why.detail)];
  if (why.change !== null) lines.push(`To change that: ${sentence(why.change)}`);
  if (why.code === 'dependencies' && why.follows.length > 0) {
    lines.push(
      '',
      formatTable(
        ['follows', 'name', 'state'],
        why.follows.map((one) => [one.jobId, one.name, one.state]),
      ),
    );
  }
  if (why.clusters.length > 0) {
    lines.push(
      '',
      formatTable(
        ['cluster', 'says'],
        why.clusters.map((one) => [one.clusterName, one.verdict]),
      ),
    );
  }
  return lines.join('\n');
}

function sentence(text: string): string {
  const trimmed = text.trim();
  return /[.!?…]$/.test(trimmed) ? trimmed : `${trimmed}.`;
}
