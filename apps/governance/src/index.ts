export { GovernanceServiceModule, governanceSchemas } from './governance-service.module.js';
