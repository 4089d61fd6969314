export * from './executor.js';
export { LocalExecutor, type LocalExecutorOptions } from './local/local-executor.js';
