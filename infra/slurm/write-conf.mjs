// The files of one Slurm test cluster. Its GPUs are links to /dev/null: Slurm wants character devices to give out
// (CUDA_VISIBLE_DEVICES) and does nothing with them here; links need neither mknod nor root.
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { hostname, userInfo } from 'node:os';
import { join } from 'node:path';

/** Writes slurm.conf and gres.conf of a cluster into its folder; answers the path of slurm.conf. */
export function writeConf(folder, cluster, { controllerPort, nodePorts, mungeSocket }) {
  for (const name of ['state', 'spool', 'log', 'gpus']) mkdirSync(join(folder, name), { recursive: true });
  const host = hostname().split('.')[0];
  const user = userInfo().username;
  const { nodes, cpusPerNode, gpusPerNode, gpuType, memoryMiBPerNode, minJobAgeSeconds } = cluster;
  const named = gpuType === undefined ? 'gpu' : `gpu:${gpuType}`;
  const gres = gpusPerNode > 0 ? ` Gres=${named}:${gpusPerNode}` : '';
  const lines = [
    `ClusterName=${cluster.name}`,
    `SlurmctldHost=${host}(127.0.0.1)`,
    `SlurmctldPort=${controllerPort}`,
    'AuthType=auth/munge',
    `AuthInfo=socket=${mungeSocket}`,
    `SlurmUser=${user}`,
    `SlurmdUser=${user}`,
    `StateSaveLocation=${join(folder, 'state')}`,
    `SlurmdSpoolDir=${join(folder, 'spool', '%n')}`,
    `SlurmctldPidFile=${join(folder, 'slurmctld.pid')}`,
    `SlurmdPidFile=${join(folder, 'slurmd-%n.pid')}`,
    `SlurmctldLogFile=${join(folder, 'log', 'slurmctld.log')}`,
    `SlurmdLogFile=${join(folder, 'log', 'slurmd-%n.log')}`,
    'ProctrackType=proctrack/linuxproc',
    'TaskPlugin=task/none',
    'SelectType=select/cons_tres',
    'SelectTypeParameters=CR_Core',
    'MpiDefault=none',
    'SwitchType=switch/none',
    // As on a cluster whose operators keep no books in Slurm: what has ended is soon forgotten.
    'AccountingStorageType=accounting_storage/none',
    'JobAcctGatherType=jobacct_gather/none',
    'JobCompType=jobcomp/filetxt',
    `JobCompLoc=${join(folder, 'log', 'jobcomp')}`,
    `MinJobAge=${minJobAgeSeconds}`,
    'KillWait=2',
    // A job starts at once, as on a quiet site; by default it may wait two seconds for the next look.
    'SchedulerParameters=sched_min_interval=20000,batch_sched_delay=0',
    'InactiveLimit=0',
    'ReturnToService=2',
    // More CPUs may be promised than the machine has: a slot is what a job of this cluster gets.
    'SlurmdParameters=config_overrides',
    'PreemptType=preempt/partition_prio',
    'PreemptMode=REQUEUE',
    ...(gpusPerNode > 0 ? ['GresTypes=gpu'] : []),
    ...nodePorts.map(
      (port, i) =>
        `NodeName=${cluster.name}-n${i + 1} NodeHostname=${host} NodeAddr=127.0.0.1 Port=${port} CPUs=${cpusPerNode} RealMemory=${memoryMiBPerNode}${gres} State=UNKNOWN`,
    ),
    `PartitionName=main Nodes=ALL Default=YES PriorityTier=1 MaxTime=UNLIMITED State=UP`,
    // Jobs here take the place of those in main: how a site's own users come first.
    `PartitionName=urgent Nodes=ALL PriorityTier=10 PreemptMode=OFF MaxTime=UNLIMITED State=UP`,
  ];
  const path = join(folder, 'slurm.conf');
  writeFileSync(path, `${lines.join('\n')}\n`);
  const devices = Array.from({ length: gpusPerNode }, (_, i) => join(folder, 'gpus', `gpu${i}`));
  for (const device of devices) if (!existsSync(device)) symlinkSync('/dev/null', device);
  const typed = gpuType === undefined ? '' : ` Type=${gpuType}`;
  writeFileSync(
    join(folder, 'gres.conf'),
    nodes === 0 ? '' : devices.map((device) => `Name=gpu${typed} File=${device}\n`).join(''),
  );
  return path;
}
