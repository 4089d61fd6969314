export * from './executor.js';
export { LocalExecutor, type LocalExecutorOptions } from './local/local-executor.js';
export { identifyProcess, isAlive, type ProcessIdentity } from './local/process-identity.js';
