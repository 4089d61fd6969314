// Labs, people and clusters of a benchmark, and the jobs that they submit.
import { registerCluster } from '@beamtime/contracts';
import { seedLab, seedPerson } from '@beamtime/identity/testing';
import { SimulatedAgent } from './agents.mjs';
import { HttpClient } from './http.mjs';

export const template = {
  kind: 'train',
  model: { family: 'gpt-neox', hiddenSize: 16, layers: 1, heads: 2, contextTokens: 16 },
  tokenizer: { kind: 'byte' },
  data: { corpora: [{ id: 'eng', path: 'corpora/eng.txt', language: 'eng', script: 'Latn' }] },
  seeds: { initialisation: 1, dataOrder: 1 },
  training: { steps: 10, batchSequences: 2, learningRate: 0.001 },
};

export function jobBody(labId, { gpus, maxSeconds = 600, priority = 0 }) {
  return { labId, runner: template, resources: { gpus, maxSeconds }, priority };
}

/** A lab with a person who operates its clusters and submits its jobs. */
export async function foundLab(servers, name) {
  return servers.transactor.do(async (tx) => {
    const labId = await seedLab(tx, name);
    const roles = ['operator', 'researcher'].map((role) => ({ labId, role }));
    const person = await seedPerson(tx, `${name}@lab.example`, roles);
    return { labId, name, client: new HttpClient(servers.url, person.token, 32) };
  });
}

export async function foundCluster(servers, lab, name, options) {
  const { agentKey } = await lab.client.call(registerCluster, { body: { labId: lab.labId, name } });
  const agent = new SimulatedAgent(servers.url, agentKey, options);
  await agent.register();
  return agent;
}
