// Creates S3_BUCKET unless it is there. Run once before the services, against any S3 server.
import { CreateBucketCommand, HeadBucketCommand, S3Client } from '@aws-sdk/client-s3';

const { S3_ENDPOINT, S3_BUCKET, S3_REGION, S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY } = process.env;
if (!S3_BUCKET || !S3_SECRET_ACCESS_KEY) {
  console.error('Set S3_BUCKET and S3_SECRET_ACCESS_KEY in .env, see infra/compose/example.env.');
  process.exit(78);
}
const client = new S3Client({
  endpoint: S3_ENDPOINT,
  region: S3_REGION,
  forcePathStyle: true,
  credentials: { accessKeyId: S3_ACCESS_KEY_ID, secretAccessKey: S3_SECRET_ACCESS_KEY },
});

try {
  await client.send(new HeadBucketCommand({ Bucket: S3_BUCKET }));
  console.log(`The bucket ${S3_BUCKET} is there.`);
} catch (error) {
  // Not there, or not ours: the second is told by the attempt to create it.
  if (error.$metadata?.httpStatusCode === undefined) throw error;
  await client.send(new CreateBucketCommand({ Bucket: S3_BUCKET }));
  console.log(`Created the bucket ${S3_BUCKET}.`);
}
