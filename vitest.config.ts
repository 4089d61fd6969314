import { defineConfig } from 'vitest/config';

const resolveFromSource = { conditions: ['development', 'node', 'default'] };
const shared = {
  // Specs lie outside the compiler's projects, so the transformer must be told about Nest's decorators.
  oxc: { decorator: { legacy: true } },
  resolve: resolveFromSource,
  ssr: { resolve: resolveFromSource },
};

export default defineConfig({
  ...shared,
  test: {
    projects: [
      {
        ...shared,
        test: {
          name: 'unit',
          include: ['{apps,libs}/*/src/**/*.spec.ts', 'test/unit/**/*.spec.ts'],
          exclude: ['**/dist/**', '**/node_modules/**'],
          testTimeout: 30_000,
        },
      },
      {
        ...shared,
        test: {
          name: 'integration',
          // After the unit tests: they are quick to fail, and these take the machine's cores for their servers.
          sequence: { groupOrder: 1 },
          include: [
            '{apps,libs}/*/src/**/*.int-spec.ts',
            'test/integration/**/*.int-spec.ts',
            'test/e2e/**/*.int-spec.ts',
            'test/simulation/**/*.int-spec.ts',
          ],
          exclude: ['**/dist/**', '**/node_modules/**'],
          globalSetup: ['libs/testkit/src/global-setup.ts'],
          testTimeout: 60_000,
          hookTimeout: 120_000,
          maxWorkers: 2,
        },
      },
    ],
  },
});
