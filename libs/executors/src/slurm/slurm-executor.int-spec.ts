import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { noSlurm, type SlurmClusters, startSlurm } from '@beamtime/testkit';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { type ConformancePlace, executorConformance, scriptRunner } from '../conformance.js';
import { SlurmExecutor } from './slurm-executor.js';

const folder = mkdtempSync(join(tmpdir(), 'beamtime-slurm-executor-'));
const runner = join(folder, 'runner.mjs');
writeFileSync(runner, scriptRunner);

let slurm: SlurmClusters | undefined;
beforeAll(async () => {
  slurm = await startSlurm('gpus:gpus=4', 'slots:cpus=4');
});
afterAll(async () => {
  await slurm?.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe.concurrent.each(['gpus', 'slots'])('the Slurm executor on a cluster with %s', (cluster) => {
  let folders = 0;
  const placeOf = (clusters: SlurmClusters): ConformancePlace => {
    const options = {
      command: [process.execPath, runner],
      stateDir: join(folder, cluster, 'state'),
      conf: clusters.conf(cluster),
      pollMs: 200,
      settleMs: 500,
      gatherMs: 50,
      watchSeconds: 1,
    };
    return {
      executor: new SlurmExecutor(options),
      restarted: () => new SlurmExecutor(options),
      workdir: () => join(folder, cluster, `work${++folders}`),
      patienceMs: 30_000,
    };
  };

  for (const { name, run } of executorConformance)
    it(name, async ({ skip }) => {
      if (slurm === undefined) return skip(noSlurm);
      await run(placeOf(slurm));
    });
});
