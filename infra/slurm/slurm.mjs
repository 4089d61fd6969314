#!/usr/bin/env node
// Slurm clusters on this machine: see --help.
import { parseArgs } from 'node:util';
import {
  down,
  killController,
  requireInstalled,
  SlurmTestError,
  startController,
  status,
  up,
} from './clusters.mjs';

const help = `node infra/slurm/slurm.mjs up|down|status|check|kill-controller|start-controller [options]

Real Slurm clusters on this machine, for development and tests.

  up                brings clusters up, or completes what is up; prints the slurm.conf of each
  down              ends them with all their jobs and removes the folder
  status            what is up
  check             whether Slurm is installed here: exit code 0, or 1 and what is missing
  kill-controller   SIGKILL to the slurmctld of one cluster (--name); start-controller [--wipe] starts it again

  --folder DIR      all their state (default .beamtime/slurm); sets in different folders do not meet
  --cluster SPEC    name[:key=value,…], repeatable. Keys: nodes (1), cpus (8, per node), gpus (0, per node),
                    type (of the GPUs), memory (MiB per node, 4000), forget (seconds after which a job that has
                    ended is forgotten, 300). Default: alpha:gpus=2,nodes=2 and beta:cpus=4
  --name NAME       the cluster that a controller command is about
  --wipe            start-controller: it has forgotten every job
  --json            answers as JSON

Then: export SLURM_CONF=<the printed path>; sinfo; sbatch …
Needs slurm-wlm and munge. As root, jobs run as anybody; as another user, as that user.`;

const keys = {
  nodes: 'nodes',
  cpus: 'cpusPerNode',
  gpus: 'gpusPerNode',
  type: 'gpuType',
  memory: 'memoryMiBPerNode',
  forget: 'minJobAgeSeconds',
};
class UsageError extends Error {}

/** Nodes, CPUs and the like of one cluster; beyond it no test machine has anything to gain. */
const countMax = 1_000_000;

function clusterOf(spec) {
  const [name = '', ...rest] = spec.split(':');
  if (!/^[a-z][a-z0-9]{0,19}$/.test(name))
    throw new UsageError(`--cluster ${spec}: a name is lower-case letters and digits, at most 20`);
  const cluster = {
    name,
    nodes: 1,
    cpusPerNode: 8,
    gpusPerNode: 0,
    memoryMiBPerNode: 4_000,
    minJobAgeSeconds: 300,
  };
  for (const pair of rest.join(':').split(',').filter(Boolean)) {
    const [key, value = ''] = pair.split('=');
    const field = keys[key];
    if (field === undefined) throw new UsageError(`--cluster ${spec}: there is no key ${key}`);
    if (field === 'gpuType') {
      if (!/^[a-z0-9_-]{1,40}$/.test(value)) throw new UsageError(`--cluster ${spec}: type=${value}`);
      cluster.gpuType = value;
      continue;
    }
    const count = Number(value);
    if (!Number.isInteger(count) || count < 0 || count > countMax || (count === 0 && key !== 'gpus'))
      throw new UsageError(`--cluster ${spec}: ${key} is a whole number, not "${value}"`);
    cluster[field] = count;
  }
  if (cluster.nodes > 64) throw new UsageError(`--cluster ${spec}: at most 64 nodes`);
  return cluster;
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      folder: { type: 'string', default: '.beamtime/slurm' },
      cluster: { type: 'string', multiple: true, default: ['alpha:gpus=2,nodes=2', 'beta:cpus=4'] },
      name: { type: 'string', default: '' },
      wipe: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const [command, ...more] = positionals;
  if (values.help || command === undefined || more.length > 0) {
    console.log(help);
    return values.help ? 0 : 2;
  }
  const say = (answer, lines) => console.log(values.json ? JSON.stringify(answer) : lines.join('\n'));
  if (command === 'up') {
    const clusters = values.cluster.map(clusterOf);
    if (new Set(clusters.map(({ name }) => name)).size < clusters.length)
      throw new UsageError('two clusters have the same name');
    const answers = await up(values.folder, clusters);
    say(
      answers,
      answers.map(({ name, conf }) => `${name}: export SLURM_CONF=${conf}`),
    );
  } else if (command === 'down') {
    const names = await down(values.folder);
    say(names, [names.length === 0 ? 'nothing was up' : `ended ${names.join(', ')}`]);
  } else if (command === 'check') {
    requireInstalled();
    say({}, ['Slurm is installed']);
  } else if (command === 'status') {
    const answers = status(values.folder);
    say(
      answers,
      answers.map(({ name, conf, daemons }) => {
        const dead = Object.keys(daemons).filter((key) => !daemons[key]);
        return `${name}: ${dead.length === 0 ? 'up' : `down: ${dead.join(', ')}`}  ${conf}`;
      }),
    );
  } else if (command === 'kill-controller') {
    await killController(values.folder, values.name);
    say({}, [`killed the controller of ${values.name}`]);
  } else if (command === 'start-controller') {
    await startController(values.folder, values.name, { wipe: values.wipe });
    say({}, [`started the controller of ${values.name}`]);
  } else throw new UsageError(`there is no command ${command}; --help tells what there is`);
  return 0;
}

main().then(
  (code) => process.exit(code),
  (error) => {
    const misused = error instanceof UsageError || error?.code?.startsWith?.('ERR_PARSE_ARGS');
    console.error(misused || error instanceof SlurmTestError ? error.message : error);
    process.exit(misused ? 2 : 1);
  },
);
