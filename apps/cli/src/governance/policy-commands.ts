import { getPolicy, listPolicies, type PolicyRule } from '@beamtime/contracts';
import type { Command } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { examples } from '../core/examples.js';
import { formatFields, formatTable } from '../core/format-table.js';

/** Policies that the consortium adopted. */
export function registerPolicyCommands(program: Command, io: CliIo): void {
  const policy = program.command('policy').description('guardrails that the consortium adopted by vote');
  examples(
    policy
      .command('list')
      .description('policies in force; with --all also those that were replaced')
      .option('--all', 'also replaced ones', false)
      .action(async ({ all }: { all: boolean }) => {
        const { policies } = await io
          .client()
          .call(listPolicies, { query: { inForce: all ? 'false' : 'true' } });
        io.show(policies, () =>
          formatTable(
            ['policy', 'title', 'rule', 'state', 'since'],
            policies.map((one) => [
              one.policyId,
              one.title,
              ruleText(one.rule),
              one.state,
              one.adoptedAt.slice(0, 10),
            ]),
            'No policy is in force',
          ),
        );
      }),
    'policy list',
  );
  examples(
    policy
      .command('show')
      .description('one policy with its rule and the round that adopted it')
      .argument('<policy>', 'id of the policy (pol_…)')
      .action(async (policyId: string) => {
        const shown = await io.client().call(getPolicy, { params: { policyId } });
        io.show(shown, () =>
          [
            formatFields({
              policy: shown.policyId,
              title: shown.title,
              state: shown.state,
              rule: ruleText(shown.rule),
              'adopted by': `${shown.proposalId} in ${shown.roundId}`,
              since: shown.adoptedAt,
            }),
            '',
            JSON.stringify(shown.rule, null, 2),
          ].join('\n'),
        );
      }),
    'policy show pol_01ky0w3h5cqfzv8r4n2t6m9b7d',
  );
}

function ruleText(rule: PolicyRule): string {
  switch (rule.kind) {
    case 'deny-scope':
      return `no ${rule.scope}`;
    case 'cap-units':
      return `at most ${rule.amount} ${rule.unit} per ${rule.per} in ${rule.windowHours} h`;
    case 'embargo':
      return `embargo of ${rule.days} days`;
    case 'require-reviews':
      return `${rule.recommendations} recommendations for ${rule.scope}`;
  }
}
