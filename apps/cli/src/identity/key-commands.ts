import { type KeyWire, listKeys, revokeKey } from '@beamtime/contracts';
import type { Command } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { examples } from '../core/examples.js';
import { formatTable } from '../core/format-table.js';

export function registerKeyCommands(program: Command, io: CliIo): void {
  const keys = program.command('keys').description('keys that programs and agents log in with');

  examples(
    keys
      .command('list')
      .description('list my keys, and the agent keys of labs that I look after')
      .option('--all', 'also revoked and expired ones')
      .action(async ({ all }: { all?: true }) => {
        const kept: KeyWire[] = [];
        let after: string | undefined;
        do {
          const page = await io.client().call(listKeys, { query: { limit: 500, after } });
          kept.push(...page.items.filter((key) => all === true || stateOf(key, Date.now()) === 'in use'));
          after = page.next ?? undefined;
        } while (after !== undefined);
        io.show(kept, () =>
          formatTable(
            ['key', 'begins with', 'label', 'for', 'scopes', 'last used', 'state'],
            kept.map((key) => [
              key.keyId,
              key.shownPrefix,
              key.label,
              key.allocationId ?? key.clusterId,
              key.scopes.join(', '),
              key.lastUsedAt?.slice(0, 16).replace('T', ' '),
              stateOf(key, Date.now()),
            ]),
            'No keys. Allocations make API keys, clusters make agent keys.',
          ),
        );
      }),
    'keys list',
    'keys list --all --json',
  );

  examples(
    keys
      .command('revoke')
      .description('revoke a key: within a second nobody gets in with it')
      .argument('<key>', 'key id, from `beamtime keys list`')
      .action(async (keyId: string) => {
        const key = await io.client().call(revokeKey, { params: { keyId } });
        io.show(key, () => `Revoked ${key.keyId} (${key.label})`);
      }),
    'keys revoke key_01ky0w3h5cqfzv8r4n2t6m9b7d',
  );
}

function stateOf(key: KeyWire, nowMs: number): 'revoked' | 'expired' | 'in use' {
  if (key.revokedAt !== null) return 'revoked';
  if (key.expiresAt !== null && Date.parse(key.expiresAt) <= nowMs) return 'expired';
  return 'in use';
}
