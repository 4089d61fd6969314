import { listServing, type ServingView, setServing, showModel, showServing } from '@beamtime/contracts';
import type { Command } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { examples } from '../core/examples.js';
import { formatFields, formatTable } from '../core/format-table.js';
import { UsageError } from '../core/usage-error.js';
import { gpuShareOption } from '../scheduling/gpu-share-option.js';

interface ServingOptions {
  readonly floor?: string;
  readonly ceiling?: string;
  readonly target?: string;
  readonly idle?: string;
  readonly gpuShare?: number;
}

/** Replicas of models: what there is, and between what their number follows the load. */
export function registerServing(model: Command, io: CliIo): void {
  examples(
    gpuShareOption(
      model
        .command('serving')
        .description('replicas of a model, or of all that are in use; with options, set their bounds')
        .argument('[model]', 'its name or id'),
    )
      .option('--floor <replicas>', 'kept whether somebody asks or not; 0: none when nobody does')
      .option('--ceiling <replicas>', 'at most so many, however much is asked')
      .option('--target <requests>', 'requests in flight that there should be for each replica')
      .option('--idle <seconds>', 'after so long without a request only the floor is kept')
      .addHelpText(
        'after',
        '\nBounds are set by the secretariat, and by operators for models of their own lab. What is left out stays.\nWithout any, a model has a floor of 0, a ceiling of 1, a target of 8, is idle after 900 seconds,\nand its replicas have whole GPUs. Another share of a GPU is for replicas that start from then on.',
      )
      .action(async (ref: string | undefined, options: ServingOptions) => {
        const client = io.client();
        const bounds = boundsOf(options);
        if (ref === undefined) {
          if (bounds !== undefined) throw new UsageError('name the model whose bounds are to be set');
          const { items } = await client.call(listServing, {});
          io.show(items, () => servingTable(items));
          return;
        }
        const modelId = ref.startsWith('mdl_')
          ? ref
          : (await client.call(showModel, { params: { model: ref } })).modelId;
        const params = { modelId };
        const shown =
          bounds === undefined
            ? await client.call(showServing, { params })
            : await client.call(setServing, { params, body: bounds });
        io.show(shown, () => describeServing(shown));
      }),
    'model serving',
    'model serving grid-m-deu-s1',
    'model serving grid-m-deu-s1 --floor 1 --ceiling 3',
    'model serving grid-m-deu-s1 --gpu-share 25',
  );
}

/** What was named of the bounds; undefined where nothing was. The facility checks their limits. */
function boundsOf({ floor, ceiling, target, idle, gpuShare }: ServingOptions) {
  const bounds = {
    ...(floor === undefined ? {} : { floor: numberOf('--floor', floor) }),
    ...(ceiling === undefined ? {} : { ceiling: numberOf('--ceiling', ceiling) }),
    ...(target === undefined ? {} : { targetInFlight: numberOf('--target', target) }),
    ...(idle === undefined ? {} : { idleSeconds: numberOf('--idle', idle) }),
    ...(gpuShare === undefined ? {} : { gpuShareMilli: gpuShare }),
  };
  return Object.keys(bounds).length === 0 ? undefined : bounds;
}

function numberOf(option: string, text: string): number {
  if (!/^\d{1,7}$/.test(text)) throw new UsageError(`${option} ${text}: a whole number`);
  return Number(text);
}

const timeOf = (iso: string | null): string => iso?.slice(0, 19).replace('T', ' ') ?? 'never';

function servingTable(items: readonly ServingView[]): string {
  return formatTable(
    [
      'model',
      'floor',
      'ceiling',
      'wanted',
      'live',
      'starting',
      'leaving',
      'in flight',
      'waiting',
      'last used',
    ],
    items.map((one) => [
      one.modelName,
      one.floor,
      one.ceiling,
      one.wanted,
      one.live,
      one.starting,
      one.leaving,
      one.inFlight,
      one.waiting,
      timeOf(one.lastUsedAt),
    ]),
    'No model is in use, and none has a floor.',
  );
}

function describeServing(one: ServingView): string {
  return [
    formatFields({
      model: one.modelName,
      bounds: `${one.floor} to ${one.ceiling} replicas, one for ${one.targetInFlight} requests; idle after ${one.idleSeconds} s${one.gpuShareMilli < 1_000 ? `; ${one.gpuShareMilli / 10} % of a GPU each` : ''}`,
      'set by': one.setBy === null ? 'nobody: these are the defaults' : `${one.setBy}, ${timeOf(one.setAt)}`,
      wanted: one.wanted,
      live: one.live,
      starting: one.starting,
      leaving: one.leaving,
      'requests in flight': one.inFlight,
      'requests waiting': one.waiting,
      'last used': timeOf(one.lastUsedAt),
      ...(one.refusal === null ? {} : { 'not started': `${one.refusal.reason} (${timeOf(one.refusal.at)})` }),
    }),
    '',
    formatTable(
      ['replica', 'state', 'cluster', 'in flight', 'since', 'job'],
      one.replicas.map((replica) => [
        replica.replica ?? 'of a person',
        replica.state,
        replica.clusterName,
        replica.inFlight,
        timeOf(replica.submittedAt),
        replica.jobId,
      ]),
      'No replicas.',
    ),
  ].join('\n');
}
