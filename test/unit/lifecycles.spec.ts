import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { drawLifecycles } from '../../scripts/draw-lifecycles.mjs';

const root = fileURLToPath(new URL('../../', import.meta.url));
const written = readFileSync(join(root, 'docs/lifecycles.md'), 'utf8');

/** Files that declare a transition table. */
function filesWithTables(): string[] {
  return readdirSync(join(root, 'libs'), { recursive: true, encoding: 'utf8' })
    .filter((file) => /^[^/]+\/src\/.*\.ts$/.test(file) && !file.endsWith('.spec.ts'))
    .filter((file) => readFileSync(join(root, 'libs', file), 'utf8').includes('satisfies TransitionTable<'))
    .map((file) => `libs/${file}`);
}

describe('docs/lifecycles.md', () => {
  it('says what the transition tables say (else: npm run docs:lifecycles)', () => {
    expect(written).toBe(drawLifecycles());
  });

  it('draws each transition table that there is', () => {
    const tables = filesWithTables();
    expect(tables.length).toBeGreaterThan(5);
    for (const file of tables) {
      const declared = readFileSync(join(root, file), 'utf8').split('satisfies TransitionTable<').length - 1;
      const drawn = written.split(`[${file}]`).length - 1;
      expect(drawn, `lifecycles of ${file} in the document`).toBe(declared);
    }
  });
});
