// `npm run simulate:faults`: runs the sources through Vite, as the tests do.
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runnerImport } from 'vite';

const here = dirname(fileURLToPath(import.meta.url));
const conditions = ['development', 'node', 'default'];
const { module } = await runnerImport(join(here, 'faults', 'main.ts'), {
  configFile: false,
  root: join(here, '..', '..'),
  logLevel: 'error',
  oxc: { decorator: { legacy: true } },
  resolve: { conditions },
  ssr: { resolve: { conditions } },
});
process.exit(await module.main(process.argv.slice(2)));
