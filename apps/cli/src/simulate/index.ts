export { registerSimulateCommand as registerSimulateCommands } from './simulate-command.js';
