export type { EmbeddedServer, EmbeddedServerProblem } from './embedded/embedded-server.js';
export { type EmbeddedPostgresOptions, startEmbeddedPostgres } from './embedded/start-embedded-postgres.js';
export {
  type EmbeddedRedisOptions,
  findRedisServer,
  startEmbeddedRedis,
} from './embedded/start-embedded-redis.js';
