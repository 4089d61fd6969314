import { spawn } from 'node:child_process';

/** Shows a page in the person's browser. Best effort: whoever asks for it prints the address too. */
export function openBrowser(url: string): void {
  const opener = process.platform === 'darwin' ? 'open' : 'xdg-open';
  const child = spawn(opener, [url], { stdio: 'ignore', detached: true });
  child.on('error', () => undefined);
  child.unref();
}
