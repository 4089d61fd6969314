export * from './client.js';
export * from './endpoint.js';
export * from './events.js';
export * from './problems.js';
export * from './roles.js';
export * from './suite.js';
