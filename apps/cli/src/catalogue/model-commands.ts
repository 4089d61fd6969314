import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import {
  type ApiClient,
  type CorpusView,
  listModels,
  listNeighbours,
  listRevisionFiles,
  listRevisions,
  type ModelFactorName,
  type ModelView,
  ProblemError,
  type ResponseOf,
  showConfounding,
  showLandscape,
  showModel,
  showModelChain,
} from '@beamtime/contracts';
import type { Command } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { examples } from '../core/examples.js';
import { formatFields, formatTable } from '../core/format-table.js';
import { CheckFailed, UsageError } from '../core/usage-error.js';
import { formatQuantity } from '../suites/format-quantity.js';
import { registerClosedModels } from './closed-model-commands.js';
import { allCorpora } from './corpus-commands.js';
import { importFolder } from './import-folder.js';
import { type HubImportOptions, importFromHub, isHubId } from './import-hub.js';
import { describeEvaluations, flattenEvaluations, readEvaluations } from './list-evaluations.js';
import { registerServing } from './serving-command.js';
import { verifyFolder, verifyPublished } from './verify-model.js';

export function registerModelCommands(program: Command, io: CliIo): void {
  registerModelsCommands(program, io);
  const model = program.command('model').description('one model of the catalogue');
  registerClosedModels(model, io);
  registerServing(model, io);

  examples(
    model
      .command('show')
      .description('factors, provenance and revisions of a model')
      .argument('<model>', 'its name or id')
      .action(async (ref: string) => {
        const client = io.client();
        const shown = await client.call(showModel, { params: { model: ref } });
        const revisions = (await client.call(listRevisions, { params: { model: ref } })).items;
        io.show({ ...shown, revisions }, () =>
          [
            describeModel(shown),
            '',
            formatTable(
              ['revision', 'tokens', 'loss', 'size in bytes', 'weights sha256'],
              revisions.map((one) => [
                one.revision,
                one.tokensSeen,
                one.loss?.toFixed(3),
                one.sizeBytes,
                one.weightsSha256?.slice(0, 16),
              ]),
              'No revisions yet.',
            ),
          ].join('\n'),
        );
      }),
    'model show udhr-neox-160k-deu-s1',
  );

  examples(
    model
      .command('neighbours')
      .description('models that differ from this one in exactly one factor')
      .argument('<model>', 'its name or id')
      .action(async (ref: string) => {
        const { items } = await io.client().call(listNeighbours, { params: { model: ref } });
        io.show(items, () =>
          formatTable(
            ['model', 'state', 'differs in', 'this one', 'that one'],
            items.map((one) => [one.name, one.state, one.factor, one.from, one.to]),
            'No model differs from this one in exactly one known factor.',
          ),
        );
      }),
    'model neighbours udhr-neox-160k-deu-s1',
  );

  examples(
    model
      .command('files')
      .description('the files of a revision, with where to fetch them')
      .argument('<model>', 'its name or id')
      .option('--revision <revision>', 'step1000, main or a commit', 'main')
      .action(async (ref: string, { revision }: { revision: string }) => {
        const found = await io.client().call(listRevisionFiles, { params: { model: ref, revision } });
        const base = io.facilityUrl().replace(/\/$/, '');
        io.show(found, () =>
          formatTable(
            ['file', 'bytes', 'sha256', 'address'],
            found.files.map((file) => [file.path, file.sizeBytes, file.sha256.slice(0, 16), base + file.url]),
          ),
        );
      }),
    'model files udhr-neox-160k-deu-s1 --revision step64',
  );

  examples(
    model
      .command('evaluations')
      .description(
        'what evaluations of a model found, with intervals and what the numbers were computed with',
      )
      .argument('<model>', 'its name or id')
      .option('--heads', 'every head, not only the highest of each kind')
      .action(async (ref: string, { heads }: { heads?: boolean }) => {
        const client = io.client();
        const found = await readEvaluations(client, ref);
        const evaluations = flattenEvaluations(found, await corporaIfAllowed(client));
        io.show(evaluations, () => describeEvaluations(evaluations, heads === true));
      }),
    'model evaluations udhr-neox-160k-deu-s1',
    `model evaluations udhr-neox-160k-deu-s1 --json | jq '.numbers[] | select(.metric == "accuracy")'`,
  );

  examples(
    model
      .command('chain')
      .description('the ids that lead from a model back to the vote')
      .argument('<model>', 'its name or id')
      .action(async (ref: string) => {
        const chain = await io.client().call(showModelChain, { params: { model: ref } });
        io.show(chain, () =>
          formatFields({
            model: chain.modelId,
            'trained by job': chain.jobId,
            'of suite': chain.suiteId,
            'from proposal': chain.proposalId,
            'adopted in round': chain.roundId,
            certificate: chain.certificateSha256,
          }),
        );
      }),
    'model chain udhr-neox-160k-deu-s1',
  );

  examples(
    model
      .command('verify')
      .description(
        'check the hash chain of all training steps of a model: every line, and the weights of every revision',
      )
      .argument('<model or folder>', 'name or id, or a folder that `suite train --local` left')
      .action(async (ref: string) => {
        const folder = resolve(io.cwd, ref);
        const isFolder = statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true;
        const report = isFolder ? await verifyFolder(io, folder) : await verifyPublished(io, ref);
        if (report.fault !== null) throw new CheckFailed(`${report.model}: ${report.fault}`);
        io.show(
          report,
          () =>
            `${report.model}: ${report.steps} steps and ${report.checkpoints} checkpoints, ${report.proven} revisions proven; head ${report.head}`,
        );
      }),
    'model verify udhr-neox-160k-deu-s1',
    'model verify size-seed/size-seed-neox-1m-deu-s1',
  );

  examples(
    model
      .command('import')
      .description('bring a model that was trained elsewhere; what is not said of it stays unknown')
      .argument(
        '<folder or hub id>',
        'a folder as save_pretrained writes it, or with one such folder per revision (step0, step1000 …); or the id of a model on a hub',
      )
      .option('--factors <file>', 'YAML or JSON with the factors that are known')
      .option('--name <name>', 'its name here; by default that of the folder or of the repository')
      .option('--private', 'only for the lab and for allocations that name it')
      .option('--lab <lab>', 'the lab that brings it: short name or id')
      .option('--source <text>', 'where it comes from; of a hub, its address and commit by default')
      .option(
        '--revisions <revisions...>',
        'hub: these branches, tags or commits, as step1000 or main=143000; main by default',
      )
      .option('--all-revisions', 'hub: every branch and tag that is named by its step')
      .option('--pickled-weights', 'hub: take weights that Python unpickles where there are no safetensors')
      .option('--cache <folder>', 'hub: where downloads are kept until the import is done')
      .addHelpText(
        'after',
        '\nHF_ENDPOINT names the hub (https://huggingface.co by default), HF_TOKEN opens private and gated models.\nA folder of this name wins over a hub id. Interrupted, the same command goes on where it stopped.',
      )
      .action(async (ref: string, options: HubImportOptions) => {
        const isFolder = statSync(resolve(io.cwd, ref), { throwIfNoEntry: false })?.isDirectory() === true;
        if (!isFolder && !isHubId(ref))
          throw new UsageError(`${ref} is neither a folder nor the id of a model`);
        const imported = await (isFolder ? importFolder : importFromHub)(io, ref, options);
        io.show(
          imported,
          () =>
            `Imported ${imported.name} with ${imported.revisions} revisions: ${imported.modelId}, ${imported.hubId}`,
        );
      }),
    'model import ./gpt2 --factors gpt2-factors.yaml --source openai-community/gpt2',
    'model import EleutherAI/pythia-70m --factors pythia.yaml --revisions step0 step1000 main=143000',
    'model import lab-a/own-model --all-revisions --private --lab lab-a',
  );
}

/** Whoever has not logged in may read what evaluations found, and sees ids where others see the names of texts. */
async function corporaIfAllowed(client: ApiClient): Promise<CorpusView[]> {
  try {
    return await allCorpora(client);
  } catch (error) {
    if (error instanceof ProblemError && error.problem.status === 401) return [];
    throw error;
  }
}

interface ListOptions {
  readonly suite?: string;
  readonly state?: ModelView['state'];
  readonly name?: string;
  readonly factor?: string[];
}

function registerModelsCommands(program: Command, io: CliIo): void {
  const models = program.command('models').description('models of the catalogue: list, compare, find holes');

  examples(
    models
      .command('list', { isDefault: true })
      .description('models, by name')
      .option('--suite <suite>', 'only those of one suite')
      .option('--state <state>', 'planned, training, ready, failed, imported, listed or withdrawn')
      .option('--name <part>', 'part of the name')
      .option('--factor <factor=level...>', 'only with this level, as language=deu; repeatable')
      .action(async (options: ListOptions) => {
        const client = io.client();
        const items: ModelView[] = [];
        for (let after: string | undefined; ; ) {
          const { suite: suiteId, state, name, factor } = options;
          const page = await client.call(listModels, {
            query: { suiteId, state, name, factor, after, limit: 500 },
          });
          items.push(...page.items);
          if (page.next === null) break;
          after = page.next;
        }
        io.show(items, () => listOf(items));
      }),
    'models list --factor language=deu --factor family=gpt-neox',
  );

  examples(
    models
      .command('confounding')
      .description('what a set of models can and cannot answer')
      .argument('[models...]', 'names or ids')
      .option('--suite <suite>', 'all models of a suite instead')
      .action(async (names: string[], { suite }: { suite?: string }) => {
        const body = suite === undefined ? { models: names } : { suiteId: suite };
        const report = await io.client().call(showConfounding, { body });
        io.show(report, () =>
          [
            formatTable(
              ['factor', 'levels', 'unknown', 'clean pairs', 'varies together with'],
              report.factors.map((one) => [
                one.factor,
                one.levels,
                one.unknown,
                one.cleanPairs,
                one.confoundedWith.join(', '),
              ]),
              'These models do not differ.',
            ),
            '',
            report.unanswerable.length === 0
              ? 'Every factor that varies can be told apart.'
              : `CONFOUNDED: these models cannot show the effect of ${report.unanswerable.join(', ')}.`,
          ].join('\n'),
        );
      }),
    'models confounding --suite sui_01k…',
    'models confounding pythia-14m pythia-70m-deduped',
  );

  examples(
    models
      .command('landscape')
      .description('how many models there are of each combination of two factors, and where there are none')
      .option('--rows <factor>', 'factor of the rows', 'language')
      .option('--columns <factor>', 'factor of the columns', 'family')
      .option('--split <factor>', 'a third factor: one table for each of its levels')
      .action(async (options: { rows: string; columns: string; split?: string }) => {
        const query = options as { rows: ModelFactorName; columns: ModelFactorName; split?: ModelFactorName };
        const found = await io.client().call(showLandscape, { query });
        const table = (title: string, part: Pick<typeof found, 'counts' | 'holes'>): string =>
          [
            formatTable(
              [title, ...found.columns],
              found.rows.map((row, index) => [row, ...(part.counts[index] ?? [])]),
              'No models with weights yet.',
            ),
            ...(part.holes.length > 0 ? [`${part.holes.length} combinations have no model.`] : []),
          ].join('\n');
        const both = `${options.rows} \\ ${options.columns}`;
        io.show(found, () =>
          found.splits.length === 0
            ? table(both, found)
            : found.splits
                .map((split) => table(`${options.split} ${split.level}: ${both}`, split))
                .join('\n\n'),
        );
      }),
    'models landscape --rows language --columns size',
    'models landscape --rows language --columns size --split family',
  );
}

function listOf(items: readonly ModelView[]): string {
  return formatTable(
    ['model', 'state', 'family', 'parameters', 'language', 'seed', 'revisions', 'id'],
    items.map((one) => [
      one.name,
      one.state,
      one.factors.family,
      one.factors.parameters === null ? null : formatQuantity(one.factors.parameters),
      one.factors.language,
      one.factors.initialisationSeed,
      one.revisions,
      one.modelId,
    ]),
    'No models match.',
  );
}

function describeModel(model: ResponseOf<typeof showModel>): string {
  const known = Object.entries(model.factors).filter(([, value]) => value !== null);
  const { provenance } = model;
  return formatFields({
    model: model.name,
    state: model.reason === null ? model.state : `${model.state}: ${model.reason}`,
    id: model.modelId,
    ...(provenance.upstream === null
      ? { 'load with': `HF_ENDPOINT=… from_pretrained("${model.hubId}")` }
      : {
          'behaviour only': `${provenance.source} offers it; ${provenance.upstream.name} is asked for ${provenance.upstream.model}`,
        }),
    suite: model.suiteId,
    job: model.jobId,
    'GPU-seconds': provenance.gpuSeconds,
    attempts: provenance.attempts,
    clusters: provenance.clusters.join(', '),
    'chain of steps': provenance.chainSha256,
    proof: provenance.proof === null ? null : `beamtime model verify ${model.name}`,
    'restarts exact': provenance.divergences.length === 0,
    ...Object.fromEntries(known.map(([name, value]) => [`· ${name}`, value])),
  });
}
