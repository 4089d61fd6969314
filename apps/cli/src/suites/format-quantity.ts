const prefixes = ['', 'k', 'M', 'G', 'T', 'P', 'E'] as const;

/** A number with three digits and a prefix: 162M parameters, 2.21E FLOPs. */
export function formatQuantity(value: number): string {
  if (value === 0) return '0';
  const power = Math.min(prefixes.length - 1, Math.max(0, Math.floor(Math.log10(Math.abs(value)) / 3)));
  const scaled = value / 1_000 ** power;
  const digits = scaled >= 100 || power === 0 ? 0 : scaled >= 10 ? 1 : 2;
  return scaled >= 1_000 ? value.toExponential(2) : `${scaled.toFixed(digits)}${prefixes[power] ?? ''}`;
}

/** Seconds as people say them. */
export function formatSeconds(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3_600).toFixed(1)} h`;
}
