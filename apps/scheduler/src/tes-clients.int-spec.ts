import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { registerCluster } from '@beamtime/contracts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AgentProcess } from './agent-process.js';
import { type SchedulingForTest, schedulingForTest, untilActive } from './testing.js';

const inVenv = fileURLToPath(new URL('../../../.beamtime/tes-test-venv/bin/python', import.meta.url));
const python = process.env['BEAMTIME_TES_PYTHON'] ?? (existsSync(inVenv) ? inVenv : undefined);
const script = fileURLToPath(new URL('./tes-client.py', import.meta.url));
if (python === undefined)
  process.stdout.write(
    'Skipped: the TES clients py-tes and pydantic-tes are not installed (`npm test` tries to; BEAMTIME_TES_PYTHON names a Python that has them)\n',
  );

describe.skipIf(python === undefined)('a real TES client', { timeout: 240_000 }, () => {
  let at: SchedulingForTest;
  let agent: AgentProcess;
  beforeAll(async () => {
    at = await schedulingForTest({ BEAMTIME_LEASE_TTL_MS: '10000' });
    const { cluster, agentKey } = await at.operator.call(registerCluster, {
      body: { labId: at.labId, name: `clients-${randomUUID().slice(0, 8)}` },
    });
    const containers = { engine: 'none', images: ['localhost/*'] };
    agent = new AgentProcess(
      cluster.clusterId,
      at.service.url,
      agentKey,
      'clients',
      undefined,
      { kinds: ['command'] },
      { containers },
    ).start();
    await untilActive(at, cluster.clusterId);
  });
  afterAll(async () => {
    await agent?.remove();
    await at?.close();
  });

  it('submits, waits, reads, lists and cancels, and every answer fits the published schema', async () => {
    const ran = await promisify(execFile)(
      python ?? '',
      [script, at.service.url, at.researcherToken, at.labId, 'localhost/host:1'],
      { timeout: 220_000 },
    ).catch((error: { stdout?: string; stderr?: string }) => ({
      stdout: error.stdout ?? '',
      stderr: error.stderr ?? String(error),
    }));
    expect(ran.stdout, ran.stderr).toContain('all answers fit');
  });
});
