import { closeSync, createReadStream, openSync, writeSync } from 'node:fs';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { auditEntrySchema, exportAudit } from '@beamtime/contracts';
import type { Command } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { examples } from '../core/examples.js';
import { CheckFailed, UsageError } from '../core/usage-error.js';
import { type AuditEntry, checkAuditChain } from './check-audit-chain.js';

const pageSize = 2_000;

export function registerAuditCommands(program: Command, io: CliIo): void {
  const audit = program.command('audit').description('the hash-chained log of decisions, grants and roles');

  examples(
    audit
      .command('export')
      .description('write the audit log as JSON lines')
      .option('--out <file>', 'write to a file instead of stdout')
      .action(async ({ out }: { out?: string }) => {
        const file = out === undefined ? undefined : openSync(resolve(io.cwd, out), 'w');
        let entries = 0;
        try {
          for await (const entry of entriesOf(io)) {
            const line = `${JSON.stringify(entry)}\n`;
            if (file === undefined) io.write(line);
            else writeSync(file, line);
            entries += 1;
          }
        } finally {
          if (file !== undefined) closeSync(file);
        }
        if (out !== undefined) io.show({ entries, file: out }, () => `Wrote ${entries} entries to ${out}`);
      }),
    'audit export --out audit.jsonl',
    'audit export | grep round.decided',
  );

  examples(
    audit
      .command('verify')
      .description('check that nothing in the audit log was changed, left out or put in')
      .option('--file <file>', 'check an exported file, without the facility')
      .option('--head <sha256>', 'also require that the log ends with this hash')
      .action(async ({ file, head }: { file?: string; head?: string }) => {
        const verdict = await checkAuditChain(
          file === undefined ? entriesOf(io) : linesOf(resolve(io.cwd, file)),
        );
        if (!verdict.intact)
          throw new CheckFailed(`The audit log is broken at entry ${verdict.brokenAtSeq}: ${verdict.why}`);
        if (head !== undefined && head !== verdict.head.hash)
          throw new CheckFailed(`The audit log is whole, but ends with ${verdict.head.hash}, not ${head}`);
        io.show(
          verdict,
          () =>
            `The audit log is whole: ${verdict.head.entries} entries, the last hash is\n${verdict.head.hash}`,
        );
      }),
    'audit verify',
    'audit verify --file audit.jsonl',
  );
}

async function* entriesOf(io: CliIo): AsyncIterable<AuditEntry> {
  const client = io.client();
  let afterSeq = 0;
  for (;;) {
    const { entries } = await client.call(exportAudit, { query: { afterSeq, limit: pageSize } });
    yield* entries;
    const last = entries.at(-1);
    if (last === undefined || entries.length < pageSize) return;
    afterSeq = last.seq;
  }
}

async function* linesOf(file: string): AsyncIterable<AuditEntry> {
  let number = 0;
  for await (const line of createInterface({
    input: createReadStream(file),
    crlfDelay: Number.POSITIVE_INFINITY,
  })) {
    number += 1;
    if (line.trim() === '') continue;
    yield parseLine(line, `${file}:${number}`);
  }
}

function parseLine(line: string, where: string): AuditEntry {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new UsageError(`${where} is not JSON; give a file that \`beamtime audit export\` wrote`);
  }
  const parsed = auditEntrySchema.safeParse(value);
  if (!parsed.success) throw new UsageError(`${where} is not an audit entry`);
  return parsed.data;
}
