import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import {
  CERTIFICATE_FORMAT,
  type DecisionRecord,
  matchElection,
  type PabulibElection,
  pabulibTallyInput,
  type TallyCertificate,
  type TallyRule,
  type Verdict,
  verifyCertificate,
  verifyDecision,
} from '@beamtime/governance/tally';
import type { Command } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { examples } from '../core/examples.js';
import { CheckFailed, UsageError } from '../core/usage-error.js';
import { readElectionFile } from './read-election-file.js';

export function registerVerifyCommand(program: Command, io: CliIo): void {
  examples(
    program
      .command('verify')
      .description(
        'check a certificate of a count without counting again: payments, order, losers; and that it is about an election',
      )
      .argument('<certificate>', 'certificate, or a result that has one (JSON)')
      .argument('[file]', 'the election it should be about (.pb)')
      .action((certificate: string, file: string | undefined) => verifyFile(io, certificate, file)),
    'verify certificate.json',
    'verify certificate.json Poland_Lodz_2022.pb',
  );
}

async function verifyFile(io: CliIo, path: string, file: string | undefined): Promise<void> {
  const read = await readJson(resolve(io.cwd, path));
  if (isDecision(read)) {
    if (file !== undefined) throw new UsageError('a decision without a budget is about no election file');
    showDecision(io, read);
    return;
  }
  const certificate = certificateIn(read, path);
  const election = file === undefined ? undefined : await readElectionFile(resolve(io.cwd, file));
  const counted = verifyCertificate(certificate);
  const verdict = counted.valid && election ? matchFile(certificate, election) : counted;
  if (!verdict.valid) {
    if (io.shared.json) io.show(verdict, () => '');
    throw new CheckFailed(`the certificate is not valid: ${verdict.reason}`);
  }
  const voters = certificate.groups.reduce((sum, group) => sum + group.voters.length, 0);
  const { winners, sha256, ballotsSha256 } = certificate;
  io.show(
    { valid: true, voters, winners: winners.map(({ project }) => project), sha256, ballotsSha256 },
    () =>
      [
        `Valid: ${winners.length} winners, ${voters} voters, every payment and every loser checked`,
        ...(file === undefined ? [] : [`The ballots, projects and budget are those of ${file}`]),
        `sha256 ${sha256}`,
      ].join('\n'),
  );
}

/** Points and ranks may have been counted as they are, or as plain support: the certificate says which. */
function matchFile(certificate: TallyCertificate, election: PabulibElection): Verdict {
  // The rule says nothing about the ballots: any will do to read the election.
  const rule: TallyRule = { name: 'greedy', utility: 'cost', skip: true };
  const asTheyAre = matchElection(certificate, pabulibTallyInput(election, rule, ''));
  if (asTheyAre.valid) return asTheyAre;
  const asApproval = matchElection(certificate, pabulibTallyInput(election, rule, '', { asApproval: true }));
  return asApproval.valid ? asApproval : asTheyAre;
}

async function readJson(path: string): Promise<unknown> {
  const text = await readFile(path, 'utf8');
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UsageError(`${path} is not JSON: ${error instanceof Error ? error.message : ''}`);
  }
}

/** The record of a Schulze vote or of a double majority, as such a round publishes it. */
function isDecision(value: unknown): value is DecisionRecord {
  const format = (value as { format?: unknown } | null)?.format;
  return format === 'beamtime-single-winner/1' || format === 'beamtime-double-majority/1';
}

function showDecision(io: CliIo, record: DecisionRecord): void {
  const verdict = verifyDecision(record);
  if (!verdict.valid) {
    if (io.shared.json) io.show(verdict, () => '');
    throw new CheckFailed(`the certificate is not valid: ${verdict.reason}`);
  }
  io.show({ ...verdict, sha256: record.sha256 }, () => `Valid: ${verdict.says}\nsha256 ${record.sha256}`);
}

function certificateIn(value: unknown, path: string): TallyCertificate {
  const found = hasCertificate(value) ? value.certificate : value;
  if (isCertificate(found) && hasCertificate(value)) checkWinners(value, found);
  if (!isCertificate(found))
    throw new UsageError(`${path} holds no certificate in the format ${CERTIFICATE_FORMAT}`);
  return found;
}

function hasCertificate(
  value: unknown,
): value is { readonly certificate: unknown; readonly winners?: unknown } {
  return typeof value === 'object' && value !== null && 'certificate' in value;
}

/** What `beamtime tally --json` says beside the certificate must be what the certificate says. */
function checkWinners(result: { readonly winners?: unknown }, certificate: TallyCertificate): void {
  if (!Array.isArray(result.winners) || !result.winners.every((winner) => typeof winner === 'string')) return;
  const certified = certificate.winners.map(({ project }) => project);
  if (JSON.stringify(result.winners) === JSON.stringify(certified)) return;
  throw new CheckFailed(
    'the certificate is not valid: it is about other winners than the result it came with',
  );
}

/** Whether it claims to be one; the verifier finds out the rest. */
function isCertificate(value: unknown): value is TallyCertificate {
  return typeof value === 'object' && value !== null && 'format' in value && 'groups' in value;
}
