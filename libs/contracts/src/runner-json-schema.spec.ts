import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { runnerJob } from './runner-job.js';
import { runnerSchemaFiles, runnerSchemasDir } from './runner-json-schema.js';

const schemasDir = fileURLToPath(new URL(`../../../${runnerSchemasDir}/`, import.meta.url));

describe('the JSON Schema that the runner reads', () => {
  it.each(Object.entries(runnerSchemaFiles()))('%s is in lock-step with the Zod schemas', (name, text) => {
    expect(
      readFileSync(`${schemasDir}${name}`, 'utf8'),
      'run node libs/contracts/scripts/generate-runner-schemas.mjs',
    ).toBe(text);
  });

  it('has no file that no schema stands behind', () => {
    expect(readdirSync(schemasDir).sort()).toEqual(Object.keys(runnerSchemaFiles()).sort());
  });
});

describe('the job file', () => {
  const job = {
    schema: 'beamtime.runner-job/1',
    kind: 'evaluate',
    jobId: 'job_x',
    attempt: 1,
    revisions: [{ revision: 'step1', path: 'inputs/step1' }],
    tasks: [{ task: 'headScores' }],
  };
  it('takes a minimal job', () => expect(runnerJob.safeParse(job).success).toBe(true));
  it.each(['/etc/passwd', '../x', 'a/../../x', 'a/..', ''])(
    'refuses the path %j, outside the workdir',
    (path) => {
      expect(runnerJob.safeParse({ ...job, revisions: [{ revision: 'r', path }] }).success).toBe(false);
    },
  );
  it('refuses a field that it does not know', () => {
    expect(runnerJob.safeParse({ ...job, stpes: 3 }).success).toBe(false);
  });
});
