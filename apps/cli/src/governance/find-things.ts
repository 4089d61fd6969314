import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import {
  type ApiClient,
  listLabs,
  listProposals,
  listRounds,
  type ProposalView,
  whoAmI,
} from '@beamtime/contracts';
import { parse } from 'yaml';
import type { CliIo } from '../core/cli-io.js';
import { UsageError } from '../core/usage-error.js';

/** The id of a round: as given, or for `latest` that of the newest. */
export async function findRoundId(client: ApiClient, ref: string): Promise<string> {
  if (ref !== 'latest') return ref;
  const { items } = await client.call(listRounds, { query: { limit: 1 } });
  const newest = items[0];
  if (newest === undefined)
    throw new UsageError('There is no round yet: beamtime round create "First round"');
  return newest.roundId;
}

/** The id of a lab by id or short name; without either, that of the only lab in which I hold one of these roles. */
export async function findLabId(
  client: ApiClient,
  ref: string | undefined,
  roles?: readonly string[],
): Promise<string> {
  if (ref?.startsWith('lab_')) return ref;
  if (ref !== undefined) {
    const { items } = await client.call(listLabs, {});
    const lab = items.find(({ slug }) => slug === ref);
    if (lab !== undefined) return lab.labId;
    throw new UsageError(`There is no lab ${ref}; there are ${items.map(({ slug }) => slug).join(', ')}`);
  }
  const me = await client.call(whoAmI, {});
  const memberships = me.kind === 'person' ? me.memberships : [];
  const mine = new Set(
    memberships.flatMap(({ labId, role }) =>
      labId === null || (roles !== undefined && !roles.includes(role)) ? [] : [labId],
    ),
  );
  const [only, ...others] = mine;
  if (only !== undefined && others.length === 0) return only;
  throw new UsageError(
    only === undefined
      ? `You are ${roles === undefined ? 'a member' : roles.join(' or ')} of no lab; name one with --lab`
      : 'You belong to several labs; say for which with --lab',
  );
}

/** All proposals of a round. */
export async function allProposals(client: ApiClient, roundId: string): Promise<ProposalView[]> {
  const found: ProposalView[] = [];
  let after: string | undefined;
  do {
    const page = await client.call(listProposals, { params: { roundId }, query: { limit: 500, after } });
    found.push(...page.items);
    after = page.next ?? undefined;
  } while (after !== undefined);
  return found;
}

/** What a person may call a proposal: its id, the name of its suite, or its title. */
export function handleOf(proposal: Pick<ProposalView, 'body' | 'title'>): string {
  return proposal.body.kind === 'suite' ? proposal.body.design.name : proposal.title;
}

export function pickProposal(proposals: readonly ProposalView[], ref: string): ProposalView {
  const fits = proposals.filter(
    (one) => one.proposalId === ref || handleOf(one) === ref || one.title === ref,
  );
  const [only, ...others] = fits.some((one) => one.proposalId === ref)
    ? fits.filter((one) => one.proposalId === ref)
    : fits;
  if (only === undefined) {
    throw new UsageError(`No proposal ${ref}; there are ${proposals.map(handleOf).join(', ') || 'none'}`);
  }
  if (others.length > 0) throw new UsageError(`Several proposals are called ${ref}; use the id (prp_…)`);
  return only;
}

/** A YAML or JSON file as data; the facility checks what it says. */
export function readDocument(io: CliIo, file: string): unknown {
  const text = readFileSync(resolve(io.cwd, file), 'utf8');
  try {
    return parse(text);
  } catch (error) {
    throw new UsageError(
      `${file} is neither YAML nor JSON: ${String((error as Error).message).split('\n')[0]}`,
    );
  }
}

/** `40h`, `90m` or `3600s` as seconds. */
export function gpuSecondsOf(text: string): number {
  const parts = /^(\d+(?:\.\d+)?)(h|m|s)$/.exec(text.trim());
  const seconds = Number(parts?.[1]) * { h: 3_600, m: 60, s: 1 }[(parts?.[2] ?? 's') as 'h' | 'm' | 's'];
  if (parts === null || !Number.isSafeInteger(Math.round(seconds))) {
    throw new UsageError(`${text} is no GPU time; write 40h, 90m or 3600s`);
  }
  return Math.round(seconds);
}

export function hoursText(gpuSeconds: number | null): string {
  if (gpuSeconds === null) return '–';
  return gpuSeconds < 3_600 ? `${gpuSeconds} s` : `${Number((gpuSeconds / 3_600).toFixed(1))} h`;
}
