import type { ProgramSpec } from './executor.js';

const inheritedAlways = ['PATH', 'LANG', 'LC_ALL', 'TZ', 'SYSTEMROOT', 'LD_LIBRARY_PATH'];

/** Few variables, so that a result depends on the job file and not on who started the agent. */
export function programEnvironment(spec: ProgramSpec, passEnv: readonly string[]): Record<string, string> {
  const inherited = Object.fromEntries(
    [...inheritedAlways, ...passEnv].flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
  return {
    ...inherited,
    HOME: spec.workdir,
    TMPDIR: spec.workdir,
    PYTHONUNBUFFERED: '1',
    PYTHONDONTWRITEBYTECODE: '1',
    HF_HUB_OFFLINE: '1',
    TOKENIZERS_PARALLELISM: 'false',
    ...spec.env,
  };
}
