export { InProcessKnocks } from './knocks/in-process-knocks.js';
