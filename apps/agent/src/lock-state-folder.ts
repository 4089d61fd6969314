import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { identifyProcess, type ProcessIdentity } from '@beamtime/executors';
import { AgentConfigError } from './agent-config.js';

/** One agent per state folder: two would end each other's programs. Answers how to give it back. */
export function lockStateFolder(stateDir: string): () => void {
  mkdirSync(stateDir, { recursive: true });
  const file = join(stateDir, 'agent.json');
  const mine = identifyProcess(process.pid);
  for (let tries = 0; tries < 2; tries++) {
    try {
      writeFileSync(file, JSON.stringify(mine), { flag: 'wx' });
      return () => rmSync(file, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
        throw new AgentConfigError(`stateDir ${stateDir} cannot be used: ${(error as Error).message}`);
      }
    }
    const other = readHolder(file);
    if (other !== undefined && identifyProcess(other.pid)?.startedAt === other.startedAt) {
      throw new AgentConfigError(
        `another agent (process ${other.pid}) uses ${stateDir}; give each its own stateDir`,
      );
    }
    rmSync(file, { force: true });
  }
  throw new AgentConfigError(`stateDir ${stateDir}: another agent is starting there`);
}

function readHolder(file: string): ProcessIdentity | undefined {
  try {
    const holder = JSON.parse(readFileSync(file, 'utf8')) as Partial<ProcessIdentity>;
    return typeof holder.pid === 'number' && typeof holder.startedAt === 'string'
      ? { pid: holder.pid, startedAt: holder.startedAt }
      : undefined;
  } catch {
    return undefined;
  }
}
