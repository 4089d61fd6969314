export { registerSuiteCommands } from './suite-commands.js';
