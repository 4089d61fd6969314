import { inject } from 'vitest';

/** What the global set-up of a test run hands to every test file. */
export interface ProvidedServers {
  /** An administrator's connection: it may create databases. */
  databaseUrl: string;
  redisUrl: string;
  /** Part of the name of all that this run makes on a server that others use too. */
  runId: string;
}

declare module 'vitest' {
  export interface ProvidedContext {
    servers: ProvidedServers;
  }
}

export function providedServers(): ProvidedServers {
  const servers = inject('servers');
  if (!servers)
    throw new Error(
      'no servers were provided: a test that needs them is named *.int-spec.ts, so that it runs with the global set-up',
    );
  return servers;
}
