export { registerStudyCommands } from './study-commands.js';
