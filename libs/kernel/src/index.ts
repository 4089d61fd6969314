export * from './assert.js';
export * from './ids.js';
export * from './problem.js';
export * from './result.js';
export * from './transitions.js';
export * from './units.js';
