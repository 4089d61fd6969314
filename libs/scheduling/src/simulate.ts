/** Replays of workloads through the production `decide`: pure, needs no server. Entered as `@beamtime/scheduling/simulate`. */

export { decide } from './domain/decide.js';
export type { PackingScore } from './domain/packing/scores.js';
export type { Policy, Rank } from './domain/policy.js';
export { type Federation, type FederationWish, federate } from './simulation/federation.js';
export type { SimulationReport } from './simulation/metrics.js';
export {
  type MuriCluster,
  type MuriJob,
  type RestartOverheads,
  readMuriCluster,
  readMuriOverheads,
  readMuriTrace,
} from './simulation/read-muri.js';
export { type OpenbNode, type OpenbPod, readOpenbNodes, readOpenbPods } from './simulation/read-openb.js';
export { type PhillyJob, phillyWindowMs, readPhillyTrace } from './simulation/read-philly.js';
export type { TraceProblem } from './simulation/read-table.js';
export {
  type FederationPolicy,
  type FederationReport,
  federationPolicies,
  replayFederation,
} from './simulation/replay-federation.js';
export { simulateMuri } from './simulation/simulate-muri.js';
export { type PackingReport, simulateOpenb } from './simulation/simulate-openb.js';
