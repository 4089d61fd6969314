export type Level = 'info' | 'warn' | 'error';
export type Log = (level: Level, message: string, fields?: Readonly<Record<string, unknown>>) => void;

/** One line per happening on stderr, for the operator: time, level, sentence, then what it is about. */
export const logToStderr: Log = (level, message, fields = {}) => {
  const about = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => ` ${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join('');
  process.stderr.write(`${new Date().toISOString()} ${level.padEnd(5)} ${message}${about}\n`);
};
