import { registerAccessCommands } from './access/index.js';
import { registerCatalogueCommands } from './catalogue/index.js';
import type { Area } from './core/run-cli.js';
import { registerAuditCommands } from './facility/audit-commands.js';
import { registerStatusCommands } from './facility/status-command.js';
import { registerGovernanceCommands } from './governance/index.js';
import { registerIdentityCommands } from './identity/index.js';
import { registerSchedulingCommands } from './scheduling/index.js';
import { registerSimulateCommands } from './simulate/index.js';
import { registerStudyCommands } from './studies/index.js';
import { registerSuiteCommands } from './suites/index.js';
import { registerTallyCommands } from './tally/index.js';
import { registerUseCommands } from './use/index.js';

/** The commands of every area, in the order of the overview. */
export const areas: readonly Area[] = [
  { title: 'The facility', register: registerStatusCommands },
  { title: 'People, labs and keys', register: registerIdentityCommands },
  { title: 'Rounds and ballots', register: registerGovernanceCommands },
  { title: 'Counting, without a facility', register: registerTallyCommands },
  { title: 'Suites of models', register: registerSuiteCommands },
  { title: 'Clusters and jobs', register: registerSchedulingCommands },
  { title: 'Simulating, without a facility', register: registerSimulateCommands },
  { title: 'Corpora and models', register: registerCatalogueCommands },
  { title: 'Studies', register: registerStudyCommands },
  { title: 'Access and the books', register: registerAccessCommands },
  { title: 'Asking models', register: registerUseCommands },
  { title: 'Audit', register: registerAuditCommands },
];
