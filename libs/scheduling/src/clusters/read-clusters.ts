import type { ClusterInventory, ClusterPolicy } from '@beamtime/contracts';
import type { Tx } from '@beamtime/platform';
import type { ClusterState } from '../domain/cluster-lifecycle.js';
import type { SnapshotCluster } from '../domain/snapshot.js';
import { type CapacityTrust, fullTrust, trustedGpus } from '../domain/trusted-capacity.js';

/** The clusters as they are built, with nothing on them. */
export async function readClusters(tx: Tx): Promise<SnapshotCluster[]> {
  const rows = await tx.rows<{
    id: string;
    name: string;
    lab_id: string;
    state: ClusterState;
    inventory: ClusterInventory | null;
    policy: ClusterPolicy | null;
    trust: CapacityTrust | null;
    keeps_inputs: boolean;
    now: Date;
  }>(
    `SELECT id, name, lab_id, state, inventory, policy, trust,
       cached_inputs > 0 AND cache_incarnation = incarnation AS keeps_inputs, now()
     FROM scheduling.cluster ORDER BY id`,
  );
  return rows.map((row) => ({
    clusterId: row.id,
    name: row.name,
    labId: row.lab_id,
    state: row.state,
    ...(row.keeps_inputs && { keepsInputs: true }),
    capacity:
      row.inventory === null || row.policy === null
        ? null
        : {
            gpus: trustedGpus(row.inventory.gpus, row.trust ?? fullTrust, row.now.getTime()),
            gpuType: row.inventory.gpuType,
            gpuMemoryMiB: row.inventory.gpuMemoryMiB,
            policy: row.policy,
          },
    busyGpus: {},
  }));
}
