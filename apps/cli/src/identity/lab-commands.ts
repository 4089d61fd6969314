import { changeLab, createLab, type LabWire, listLabs, showLab } from '@beamtime/contracts';
import { type Command, InvalidArgumentError } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { examples } from '../core/examples.js';
import { formatFields, formatTable } from '../core/format-table.js';
import { UsageError } from '../core/usage-error.js';

export function registerLabCommands(program: Command, io: CliIo): void {
  const labs = program.command('labs').description('the labs of the consortium');

  examples(
    labs
      .command('list')
      .description('list the labs of the consortium')
      .action(async () => {
        const { items } = await io.client().call(listLabs, {});
        io.show(items, () =>
          formatTable(
            ['lab', 'name', 'weight', 'in arrears', 'id'],
            items.map((lab) => [lab.slug, lab.name, lab.contributionWeight, lab.inArrears, lab.labId]),
            'No labs yet; the secretariat admits them: beamtime labs create lab-a "Lab A"',
          ),
        );
      }),
    'labs list',
  );

  examples(
    labs
      .command('show')
      .description('show one lab')
      .argument('<lab>', 'its short name or id')
      .action(async (lab: string) => {
        const found = await io.client().call(showLab, { params: { lab } });
        io.show(found, () => describeLab(found));
      }),
    'labs show lab-a',
  );

  examples(
    labs
      .command('create')
      .description('admit a lab to the consortium (secretariat)')
      .argument('<slug>', 'short name for commands: small letters, digits, hyphens')
      .argument('<name>', 'full name')
      .option('--weight <n>', 'share of the contributions, for votes that weigh them', wholeNumber, 1)
      .action(async (slug: string, name: string, { weight }: { weight: number }) => {
        const lab = await io.client().call(createLab, { body: { slug, name, contributionWeight: weight } });
        io.show(lab, () => describeLab(lab));
      }),
    'labs create lab-a "Laboratory for Syntax" --weight 3',
  );

  examples(
    labs
      .command('change')
      .description("change a lab's name, weight or arrears (secretariat)")
      .argument('<lab>', 'its short name or id')
      .option('--name <name>', 'full name')
      .option('--weight <n>', 'share of the contributions', wholeNumber)
      .option('--arrears <yes|no>', 'whether it is behind with its contributions', yesOrNo)
      .action(async (lab: string, wish: { name?: string; weight?: number; arrears?: boolean }) => {
        if (Object.keys(wish).every((key) => !['name', 'weight', 'arrears'].includes(key)))
          throw new UsageError('Say what to change: --name, --weight or --arrears');
        const body = { name: wish.name, contributionWeight: wish.weight, inArrears: wish.arrears };
        const changed = await io.client().call(changeLab, { params: { lab }, body });
        io.show(changed, () => describeLab(changed));
      }),
    'labs change lab-a --weight 5',
    'labs change lab-a --arrears yes',
  );
}

function describeLab(lab: LabWire): string {
  return formatFields({
    lab: lab.slug,
    name: lab.name,
    weight: lab.contributionWeight,
    'in arrears': lab.inArrears,
    id: lab.labId,
    since: lab.createdAt.slice(0, 10),
  });
}

function wholeNumber(text: string): number {
  if (!/^\d{1,7}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.');
  return Number(text);
}

function yesOrNo(text: string): boolean {
  if (text !== 'yes' && text !== 'no') throw new InvalidArgumentError('It must be yes or no.');
  return text === 'yes';
}
