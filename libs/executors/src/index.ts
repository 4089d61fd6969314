export * from './executor.js';
export { LocalExecutor, type LocalExecutorOptions } from './local/local-executor.js';
export { identifyProcess, isAlive, type ProcessIdentity } from './local/process-identity.js';
export { sbatchOptionFault } from './slurm/sbatch-options.js';
export { SiteUnknown } from './slurm/site.js';
export { SlurmExecutor } from './slurm/slurm-executor.js';
export type { SlurmOptions } from './slurm/slurm-options.js';
