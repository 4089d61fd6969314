// Biome lints everything; ESLint adds the three rules that need the compiler's types, and keeps clocks, randomness
// and the process out of domain/ (dependency-cruiser sees imports, not globals).
import tseslint from 'typescript-eslint';

const impure = ['performance', 'crypto', 'process', 'setTimeout', 'setInterval', 'fetch', 'console'];

export default tseslint.config(
  { ignores: ['**/dist/**', '**/node_modules/**', '.beamtime/**', '**/*.{js,mjs,cjs}'] },
  // Comments that silence other linters' rules are none of this one's business.
  { linterOptions: { reportUnusedDisableDirectives: 'off' } },
  {
    files: ['**/*.ts'],
    plugins: { '@typescript-eslint': tseslint.plugin },
    languageOptions: {
      parser: tseslint.parser,
      parserOptions: {
        // Specs belong to no project of the build: one that has them all.
        project: ['tsconfig.lint.json'],
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/await-thenable': 'error',
    },
  },
  {
    files: ['libs/*/src/domain/**/*.ts'],
    ignores: ['**/*.spec.ts'],
    rules: {
      'no-restricted-globals': [
        'error',
        ...impure.map((name) => ({ name, message: 'domain/ is pure: let the caller bring it.' })),
      ],
      'no-restricted-syntax': [
        'error',
        {
          selector: "MemberExpression[object.name='Date'][property.name='now']",
          message: 'domain/ has no clock: take the time as an argument.',
        },
        {
          selector: "NewExpression[callee.name='Date'][arguments.length=0]",
          message: 'domain/ has no clock: take the time as an argument.',
        },
        {
          selector: "MemberExpression[object.name='Math'][property.name='random']",
          message: 'domain/ has no randomness: take a seed or the bytes as an argument.',
        },
      ],
    },
  },
);
