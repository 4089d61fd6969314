import {
  type ApiClient,
  consortiumRoles,
  grantConsortiumRole,
  grantLabRole,
  labRoles,
  listConsortiumMembers,
  listMembers,
  type MemberWire,
  revokeConsortiumRole,
  revokeLabRole,
} from '@beamtime/contracts';
import { Argument, type Command } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { examples } from '../core/examples.js';
import { formatTable } from '../core/format-table.js';
import { UsageError } from '../core/usage-error.js';

type LabRole = (typeof labRoles)[number];
type ConsortiumRole = (typeof consortiumRoles)[number];

const anyRole = () => new Argument('<role>', 'what they are').choices([...labRoles, ...consortiumRoles]);
const labOption = ['--lab <lab>', 'in which lab; for a role in the consortium leave it out'] as const;

export function registerMemberCommands(program: Command, io: CliIo): void {
  const members = program
    .command('members')
    .description('who holds which role in a lab or in the consortium');

  examples(
    members
      .command('list')
      .description('list the people of a lab, or of the consortium, and their roles')
      .option('--lab <lab>', 'short name or id of a lab; without it: roles in the consortium')
      .action(async ({ lab }: { lab?: string }) => {
        const items = await membersOf(io.client(), lab);
        io.show(items, () => memberTable(items));
      }),
    'members list --lab lab-a',
    'members list',
  );

  examples(
    members
      .command('grant')
      .description('give a person a role, or invite one by e-mail (secretariat; a delegate in the own lab)')
      .argument('<who>', 'e-mail address or person id; a new address gets the role with its first login')
      .addArgument(anyRole())
      .option(...labOption)
      .option('--name <name>', 'what an invited person is called until the first login')
      .action(async (who: string, role: string, { lab, name }: { lab?: string; name?: string }) => {
        const member = await grant(io.client(), who, role, lab, name);
        io.show(
          member,
          () => `${member.name} is ${role} ${place(lab)}${member.invited ? ', from the first login on' : ''}`,
        );
      }),
    'members grant dora@lab-a.example delegate --lab lab-a',
    'members grant audit@court.example auditor',
  );

  examples(
    members
      .command('revoke')
      .description('take a role from a person, or lay down my own')
      .argument('<who>', 'e-mail address or person id')
      .addArgument(anyRole())
      .option(...labOption)
      .action(async (who: string, role: string, { lab }: { lab?: string }) => {
        const personId = await revoke(io.client(), who, role, lab);
        io.show(
          { personId, role, lab: lab ?? null, revoked: true },
          () => `${who} is no longer ${role} ${place(lab)}`,
        );
      }),
    'members revoke rita@lab-a.example researcher --lab lab-a',
  );
}

async function membersOf(client: ApiClient, lab: string | undefined): Promise<MemberWire[]> {
  const page =
    lab === undefined
      ? await client.call(listConsortiumMembers, {})
      : await client.call(listMembers, { params: { lab } });
  return page.items;
}

async function grant(
  client: ApiClient,
  who: string,
  role: string,
  lab: string | undefined,
  name: string | undefined,
): Promise<MemberWire> {
  const grantee = who.includes('@') ? { email: who, name } : { personId: who, name };
  if (lab !== undefined)
    return client.call(grantLabRole, { params: { lab }, body: { ...grantee, role: inLab(role) } });
  return client.call(grantConsortiumRole, { body: { ...grantee, role: inConsortium(role) } });
}

async function revoke(
  client: ApiClient,
  who: string,
  role: string,
  lab: string | undefined,
): Promise<string> {
  const held = (await membersOf(client, lab)).find(
    (one) => one.role === role && (one.personId === who || one.email === who.toLowerCase()),
  );
  if (held === undefined)
    throw new UsageError(`${who} is not ${role} ${place(lab)}; \`beamtime members list\` shows who is`);
  const { personId } = held;
  if (lab !== undefined) await client.call(revokeLabRole, { params: { lab, personId, role: inLab(role) } });
  else await client.call(revokeConsortiumRole, { params: { personId, role: inConsortium(role) } });
  return personId;
}

function inLab(role: string): LabRole {
  const found = labRoles.find((one) => one === role);
  if (found === undefined) throw new UsageError(`${role} is a role in the consortium; leave --lab out`);
  return found;
}

function inConsortium(role: string): ConsortiumRole {
  const found = consortiumRoles.find((one) => one === role);
  if (found === undefined) throw new UsageError(`${role} is a role in a lab; say which with --lab`);
  return found;
}

function place(lab: string | undefined): string {
  return lab === undefined ? 'in the consortium' : `in ${lab}`;
}

function memberTable(items: readonly MemberWire[]): string {
  return formatTable(
    ['name', 'role', 'e-mail', 'since', 'id'],
    items.map((one) => [
      one.name,
      one.role,
      one.email,
      one.invited ? 'invited' : one.since.slice(0, 10),
      one.personId,
    ]),
    'nobody',
  );
}
