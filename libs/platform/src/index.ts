export * from './audit/seal-audit.js';
export * from './config/explain-failed-start.js';
export * from './config/load-config.js';
export * from './database/context-schema.js';
export * from './database/open-data-source.js';
export * from './database/transactor.js';
export type { EmbeddedServer, EmbeddedServerProblem } from './embedded/embedded-server.js';
export { type EmbeddedPostgresOptions, startEmbeddedPostgres } from './embedded/start-embedded-postgres.js';
export {
  type EmbeddedRedisOptions,
  findRedisServer,
  startEmbeddedRedis,
} from './embedded/start-embedded-redis.js';
export { credentialOf } from './http/access.guard.js';
export * from './http/beamtime-request.js';
export * from './http/endpoint.decorator.js';
export * from './http/facility.controller.js';
export * from './http/open-api.js';
export * from './http/principal.js';
export * from './http/problem.filter.js';
export * from './http/problem-exception.js';
export * from './http/run-service.js';
export * from './http/serve-http.js';
export * from './identifiers/ids.js';
export * from './knocks/bullmq-knocks.js';
export * from './knocks/knocks.js';
export * from './leader/elections.js';
export * from './leader/lead.js';
export { handleLocalObjectRequest } from './object-store/handle-local-object-request.js';
export {
  type LocalObjectStore,
  type LocalObjectStoreOptions,
  openLocalObjectStore,
} from './object-store/local-object-store.js';
export * from './object-store/object-store.js';
export * from './object-store/open-object-store.js';
export { openS3ObjectStore, type S3ObjectStoreOptions } from './object-store/s3-object-store.js';
export * from './observability/logger.js';
export * from './observability/metrics.js';
export * from './outbox/deliver-facts.js';
export * from './outbox/fact-delivery.js';
export * from './platform.module.js';
export * from './postgres/platform-schema.js';
