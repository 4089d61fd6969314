export { type ConformanceCase, type ConformancePlace, executorConformance } from './conformance.js';
