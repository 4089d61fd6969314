export { deliverAll } from './deliver-all.js';
export { platformForTest, serviceForTest, type TestPlatform, type TestService } from './platform-for-test.js';
export { redisForTest, type TestRedis } from './redis-for-test.js';
export { type DisposableRedis, startDisposableRedis } from './start-disposable-redis.js';
export { noS3Server, type S3TestServer, startS3Server } from './start-s3-server.js';
export { noSlurm, type SlurmClusters, startSlurm } from './start-slurm.js';
export { createTemplate, type DatabaseTemplate, freshDatabase, type TestDatabase } from './test-databases.js';
