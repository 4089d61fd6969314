// Writes the JSON Schema of the runner's wires, from the Zod schemas as built (`npx tsc -b libs/contracts` first).
// A test fails when the files that are committed differ from what this writes.
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { runnerSchemaFiles, runnerSchemasDir } from '../dist/runner-json-schema.js';

const dir = fileURLToPath(new URL(`../../../${runnerSchemasDir}/`, import.meta.url));
mkdirSync(dir, { recursive: true });
for (const [name, text] of Object.entries(runnerSchemaFiles())) writeFileSync(`${dir}${name}`, text);
process.stdout.write(`Wrote ${Object.keys(runnerSchemaFiles()).length} files to ${runnerSchemasDir}\n`);
