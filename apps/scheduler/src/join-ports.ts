import { ChargeJobs } from '@beamtime/access';
import { CreateAgentKey, RevokeApiKey } from '@beamtime/identity';
import { OBJECT_STORE, type ObjectStore, ProblemException } from '@beamtime/platform';
import {
  AGENT_KEYS,
  type AgentKeys,
  GPU_ACCOUNTS,
  type GpuAccounts,
  JOB_FILES,
  type JobFiles,
} from '@beamtime/scheduling';
import type { Provider } from '@nestjs/common';

/** Long enough to fetch the weights of a large model over a slow line; agents ask again for more. */
const urlTtlMs = 6 * 3_600_000;

/** The store's files, as scheduling needs them. */
export function jobFilesIn(store: ObjectStore): JobFiles {
  return {
    async find(objectKey) {
      const found = await store.head(objectKey);
      if (found.ok) return { sizeBytes: found.value.sizeBytes, sha256: found.value.sha256 ?? null };
      if (found.error.code === 'object-store.not-found') return null;
      throw new ProblemException(found.error);
    },
    async downloadUrl(objectKey) {
      const leave = await store.presignGet(objectKey, { ttlMs: urlTtlMs });
      if (!leave.ok) throw new ProblemException(leave.error);
      return leave.value.url;
    },
    async uploadUrl(objectKey, { sha256, sizeBytes }) {
      const leave = await store.presignPut(objectKey, { ttlMs: urlTtlMs, sha256, sizeBytes });
      if (!leave.ok) throw new ProblemException(leave.error);
      return { url: leave.value.url, headers: leave.value.headers };
    },
  };
}

/** Scheduling's ports, joined to the ledger, the identities and the object store. */
export const schedulingPorts: Provider[] = [
  {
    provide: GPU_ACCOUNTS,
    inject: [ChargeJobs],
    useFactory: (charge: ChargeJobs): GpuAccounts => ({
      hold: (tx, hold) => charge.hold(tx, hold),
      settleAll: async (tx, settled) => {
        await charge.settleAll(tx, settled);
      },
    }),
  },
  {
    provide: AGENT_KEYS,
    inject: [CreateAgentKey, RevokeApiKey],
    useFactory: (create: CreateAgentKey, revoke: RevokeApiKey): AgentKeys => ({
      issue: async (tx, { clusterId, labId, name, actor }) => {
        const made = await create.execute(
          { clusterId, labId, label: `agent of ${name}`, createdBy: actor },
          tx,
        );
        return made.token;
      },
      revokeAll: (tx, clusterId, actor) => revoke.ofCluster(clusterId, actor, tx),
    }),
  },
  {
    provide: JOB_FILES,
    inject: [OBJECT_STORE],
    useFactory: (store: ObjectStore): JobFiles => jobFilesIn(store),
  },
];
