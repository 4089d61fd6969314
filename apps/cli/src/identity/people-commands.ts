import { listPeople, type PersonWire, restorePerson, showPerson, suspendPerson } from '@beamtime/contracts';
import type { Command } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { examples } from '../core/examples.js';
import { formatFields, formatTable } from '../core/format-table.js';

export function registerPeopleCommands(program: Command, io: CliIo): void {
  const people = program.command('people').description('the people known here');

  examples(
    people
      .command('list')
      .description('list everybody known here (secretariat, auditors)')
      .option('--limit <n>', 'at most so many', '100')
      .option('--after <id>', 'continue after this person')
      .action(async ({ limit, after }: { limit: string; after?: string }) => {
        const page = await io.client().call(listPeople, { query: { limit, after } });
        io.show(
          page,
          () =>
            formatTable(
              ['name', 'e-mail', 'roles', 'id'],
              page.items.map((one) => [one.name, one.email, rolesText(one.memberships), one.personId]),
            ) + (page.next === null ? '' : `\nmore: beamtime people list --after ${page.next}`),
        );
      }),
    'people list',
  );

  examples(
    people
      .command('show')
      .description('show one person')
      .argument('<person>', 'person id')
      .action(async (personId: string) => {
        const person = await io.client().call(showPerson, { params: { personId } });
        io.show(person, () => describePerson(person));
      }),
    'people show per_01ky0w3h5cqfzv8r4n2t6m9b7d',
  );

  for (const [verb, endpoint, description] of [
    ['suspend', suspendPerson, 'shut a person out at once, by login and by key (secretariat)'],
    ['restore', restorePerson, 'let a suspended person in again (secretariat)'],
  ] as const) {
    examples(
      people
        .command(verb)
        .description(description)
        .argument('<person>', 'person id')
        .action(async (personId: string) => {
          const person = await io.client().call(endpoint, { params: { personId } });
          io.show(person, () => describePerson(person));
        }),
      `people ${verb} per_01ky0w3h5cqfzv8r4n2t6m9b7d`,
    );
  }
}

function describePerson(person: PersonWire): string {
  return formatFields({
    name: person.name,
    'e-mail': person.email,
    roles: rolesText(person.memberships),
    state: person.suspended ? 'suspended' : person.invited ? 'invited' : 'active',
    person: person.personId,
  });
}

function rolesText(
  memberships: readonly { readonly labSlug: string | null; readonly role: string }[],
): string {
  return memberships
    .map((one) => (one.labSlug === null ? one.role : `${one.role} of ${one.labSlug}`))
    .join(', ');
}
