/** Replays of workloads through the production `decide`: pure, needs no server. Entered as `@beamtime/scheduling/simulate`. */

export { decide } from './domain/decide.js';
export type { Policy, Rank } from './domain/policy.js';
export type { SimulationReport } from './simulation/metrics.js';
export {
  type MuriCluster,
  type MuriJob,
  type RestartOverheads,
  readMuriCluster,
  readMuriOverheads,
  readMuriTrace,
} from './simulation/read-muri.js';
export type { TraceProblem } from './simulation/read-table.js';
export { simulateMuri } from './simulation/simulate-muri.js';
