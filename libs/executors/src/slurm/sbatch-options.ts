/** Options that a site may add to each sbatch. Everything else is ours to say, or would change what an attempt is. */
const allowed = new Set([
  'constraint',
  'prefer',
  'exclude',
  'nodelist',
  'exclusive',
  'oversubscribe',
  'reservation',
  'licenses',
  'nice',
  'priority',
  'mail-type',
  'mail-user',
  'mem-per-cpu',
  'mem-per-gpu',
  'mem-bind',
  'gpu-bind',
  'gpu-freq',
  'hint',
  'threads-per-core',
  'tmp',
  'switches',
  'network',
  'wckey',
  'core-spec',
  'propagate',
  'distribution',
  'power',
  'profile',
  'container',
]);

/** Why an option cannot be added to sbatch's command line, or null if it can. */
export function sbatchOptionFault(option: string): string | null {
  const parts = /^--([a-z][a-z-]*)(=\P{Cc}+)?$/u.exec(option);
  if (parts === null) return `${JSON.stringify(option)} is not of the form --name or --name=value`;
  const name = parts[1] ?? '';
  if (allowed.has(name)) return null;
  return `--${name} cannot be set here; possible are ${[...allowed].sort().join(', ')}`;
}
