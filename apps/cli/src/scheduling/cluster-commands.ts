import {
  type ClusterView,
  drainCluster,
  listClusters,
  listShares,
  registerCluster,
  resumeCluster,
  retireCluster,
  rotateClusterKey,
} from '@beamtime/contracts';
import type { Command } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { examples } from '../core/examples.js';
import { formatFields, formatTable } from '../core/format-table.js';
import { UsageError } from '../core/usage-error.js';
import { findLabId } from '../governance/find-things.js';

export function registerClusterCommands(program: Command, io: CliIo): void {
  const cluster = program
    .command('cluster')
    .description('clusters of the labs: register, list, drain, resume');

  examples(
    cluster
      .command('register')
      .description('register a cluster of a lab; shows the key of its agent, this once')
      .argument('<name>', 'its name in the consortium, lower case')
      .option('--lab <lab>', 'the lab, by short name or id; your own where there is only one')
      .action(async (name: string, { lab }: { lab?: string }) => {
        const labId = await findLabId(io.client(), lab, ['operator']);
        const made = await io.client().call(registerCluster, { body: { labId, name } });
        io.show(
          made,
          () => `${describe(made.cluster)}

Key of its agent, shown only now: ${made.agentKey}

Put it into the agent's file and start the agent at the cluster:
  facility: ${io.facilityUrl()}
  keyFile: agent.key
  gpus: { count: 2, type: cpu }
  $ beamtime agent run --config agent.yaml`,
        );
      }),
    'cluster register north --lab lab-a',
  );

  examples(
    cluster
      .command('list')
      .description('all clusters with their state and load')
      .action(async () => {
        const { items } = await io.client().call(listClusters, {});
        io.show(items, () =>
          formatTable(
            ['cluster', 'state', 'GPUs', 'busy', 'type', 'attempts', 'heard of', 'id'],
            items.map((one) => [
              one.name,
              one.state,
              one.gpusTrusted === null
                ? one.inventory?.gpus
                : `${one.inventory?.gpus} (${one.gpusTrusted} counted on)`,
              one.gpusBusy,
              one.inventory?.gpuType,
              one.attemptsLive,
              one.lastSeenAt?.slice(0, 19).replace('T', ' '),
              one.clusterId,
            ]),
            'No clusters yet; an operator registers one: beamtime cluster register NAME',
          ),
        );
      }),
    'cluster list',
  );

  examples(
    cluster
      .command('show')
      .description('one cluster: what it has, what it takes, what it runs')
      .argument('<cluster>', 'its name or id')
      .action(async (ref: string) => {
        const found = await findCluster(io, ref);
        io.show(found, () => describe(found));
      }),
    'cluster show north',
  );

  const change = (
    verb: string,
    description: string,
    spec: typeof drainCluster | typeof resumeCluster | typeof retireCluster,
    example: string,
  ): void => {
    examples(
      cluster
        .command(verb)
        .description(description)
        .argument('<cluster>', 'its name or id')
        .option('--reason <text>', 'shown to everybody who asks')
        .action(async (ref: string, { reason }: { reason?: string }) => {
          const { clusterId } = await findCluster(io, ref);
          const body = reason === undefined ? {} : { reason };
          const after = await io.client().call(spec as typeof drainCluster, { params: { clusterId }, body });
          io.show(after, () => `${after.name} is ${after.state}`);
        }),
      example,
    );
  };
  change(
    'drain',
    'let a cluster finish what it runs and take nothing new',
    drainCluster,
    'cluster drain north --reason "new cooling"',
  );
  change('resume', 'let a drained cluster take work again', resumeCluster, 'cluster resume north');
  change(
    'retire',
    'take a cluster out of the consortium for good and revoke its keys',
    retireCluster,
    'cluster retire north',
  );

  examples(
    cluster
      .command('key')
      .description('revoke the keys of a cluster and show a new one, this once')
      .argument('<cluster>', 'its name or id')
      .action(async (ref: string) => {
        const { clusterId } = await findCluster(io, ref);
        const made = await io.client().call(rotateClusterKey, { params: { clusterId } });
        io.show(made, () => `Key of its agent, shown only now: ${made.agentKey}`);
      }),
    'cluster key north',
  );

  examples(
    cluster
      .command('shares')
      .description('what each lab and the consortium may count on, run, borrow and lend')
      .action(async () => {
        const { items } = await io.client().call(listShares, {});
        io.show(items, () =>
          formatTable(
            [
              'owner',
              'entitled',
              'running',
              'borrowed',
              'lent',
              'waiting jobs',
              'GPU-seconds of late',
              'credit',
            ],
            items.map((one) => [
              one.owner,
              Number(one.entitledGpus.toFixed(2)),
              Number(one.runningGpus.toFixed(2)),
              Number(one.borrowedGpus.toFixed(2)),
              Number(one.lentGpus.toFixed(2)),
              one.waitingJobs,
              Math.round(one.recentGpuSeconds),
              Math.round(one.creditGpuSeconds),
            ]),
          ),
        );
      }),
    'cluster shares',
  );
}

/** A cluster by name or id. */
async function findCluster(io: CliIo, ref: string): Promise<ClusterView> {
  const { items } = await io.client().call(listClusters, {});
  const found = items.find((one) => one.clusterId === ref || one.name === ref);
  if (found === undefined)
    throw new UsageError(`There is no cluster ${ref}; \`beamtime cluster list\` shows all`);
  return found;
}

function describe(one: ClusterView): string {
  const { inventory, policy } = one;
  return formatFields({
    cluster: one.name,
    id: one.clusterId,
    lab: one.labId,
    state: one.stateReason === null ? one.state : `${one.state}: ${one.stateReason}`,
    GPUs:
      inventory === null ? 'its agent has not registered yet' : `${inventory.gpus} × ${inventory.gpuType}`,
    busy: one.gpusBusy,
    'counted on':
      one.gpusTrusted === null
        ? null
        : `${one.gpusTrusted} GPUs until ${one.gpusTrustedUntil}: it did not take work that fits into what its agent claims; see the agent’s log`,
    takes: policy === null ? null : policy.kinds.join(', '),
    'shares a GPU among': (policy?.gpuParts ?? 1) > 1 ? `up to ${policy?.gpuParts} jobs` : null,
    'for labs': policy === null ? null : (policy.labIds?.join(', ') ?? 'all'),
    'for suites': policy?.consortium,
    executor: inventory?.executor,
    host: inventory?.hostName,
    'agent process': one.incarnation === 0 ? null : `number ${one.incarnation}, version ${one.agentVersion}`,
    'heard of': one.lastSeenAt,
  });
}
