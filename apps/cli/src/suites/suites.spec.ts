import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { planSuite } from '@beamtime/suites';
import { afterAll, describe, expect, it } from 'vitest';
import { areas } from '../areas.js';
import { runCli } from '../core/run-cli.js';
import { formatQuantity, formatSeconds } from './format-quantity.js';
import { readSuiteFile } from './read-suite-file.js';
import { describePlan } from './suite-commands.js';

const examples = fileURLToPath(new URL('../../../../examples', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'beamtime-suite-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function written(text: string): string {
  const path = join(folder, 'suite.yaml');
  writeFileSync(path, text);
  return path;
}

async function plan(path: string): Promise<{ exitCode: number; err: string }> {
  let err = '';
  const exitCode = await runCli(['suite', 'plan', path], '0', areas, {
    env: {},
    cwd: folder,
    stdout: () => undefined,
    stderr: { isTerminal: false, columns: 80, write: (text) => (err += text) },
    openBrowser: () => undefined,
  });
  return { exitCode, err };
}

describe('the example suites', () => {
  it.each(readdirSync(examples).filter((name) => name.endsWith('.yaml')))(
    '%s can be trained, and confounds nothing',
    (name) => {
      const plan = planSuite(readSuiteFile(join(examples, name)));
      if (!plan.ok) throw new Error(plan.error.detail);
      expect(plan.value.confounding.unanswerable).toEqual([]);
      // On a laptop in minutes: what training alone takes, by the estimate.
      expect(plan.value.gpuSeconds - 20 * plan.value.models).toBeLessThan(1_200);
    },
  );
});

describe('a suite file', () => {
  it.each([
    ['name: Size Seed\ntitle: x\n', /^[^\n]*suite\.yaml: name: [^\n]*\(and \d+ more\)$/],
    ['- 1\n', /^[^\n]*suite\.yaml: Invalid input: expected object[^\n]*$/],
    ['null\n', /^[^\n]*suite\.yaml: Invalid input/],
  ])('%j is refused in one line with the name of the first field that does not fit', (text, line) => {
    expect(() => readSuiteFile(written(text))).toThrow(line);
  });

  it.each([
    ['family: [gpt-neox]', 'family: [gpt5]', /: factors\.family\[0\]: Invalid option/],
    ['heads: 4 }', 'heads: 5 }', /^factors\.size\[0\]\.heads: 5 heads do not divide hiddenSize 48$/],
    [
      'script: Latn',
      'script: Roman',
      /: factors\.language\[0\]\.script: four letters of ISO 15924, as Latn$/,
    ],
    [
      'script: Latn',
      'script: Abcd',
      /: factors\.language\[0\]\.script: there is no script Abcd in ISO 15924$/,
    ],
    ['language: deu,', 'language: ger,', /: factors\.language\[0\]\.language: ger .* ISO 639-3 has deu$/],
    [
      'language: deu,',
      'language: de,',
      /: factors\.language\[0\]\.language: three small letters of ISO 639-3/,
    ],
    ['learningRate: 0.002', 'learningRate: fast', /: training\.learningRate: /],
    ['learningRate: 0.002', 'learningRat: 0.002', /: training/],
  ])('with %s as %s is refused by `suite plan` with exit code 2', async (right, wrong, line) => {
    const text = readFileSync(join(examples, 'size-by-seed.yaml'), 'utf8');
    expect(text).toContain(right);
    const { exitCode, err } = await plan(written(text.replace(right, wrong)));
    expect([exitCode, err]).toEqual([2, expect.stringMatching(/^error: [^\n]+\n$/)]);
    expect(err.slice('error: '.length).trim()).toMatch(line);
  });

  it('of more than a million cells is refused at once, with its field', async () => {
    const many = Array.from({ length: 400 }, (_, n) => n).join(', ');
    const text = readFileSync(join(examples, 'size-by-seed.yaml'), 'utf8')
      .replace('initialisationSeed: [1, 2, 3]', `initialisationSeed: [${many}]`)
      .replace('dataOrderSeed: [0]', `dataOrderSeed: [${many}]`)
      .replace('steps: [300]', 'steps: [300, 600]');
    expect(await plan(written(text))).toEqual({
      exitCode: 2,
      err: 'error: factors: the grid has 1,280,000 cells; at most 10,000 can be trained as one suite\n',
    });
  });

  it('is refused when it is no YAML, or not there', () => {
    expect(() => readSuiteFile(written('a: [1'))).toThrow(/is not YAML/);
    expect(() => readSuiteFile(join(folder, 'none.yaml'))).toThrow(/Cannot read/);
  });
});

describe('a plan', () => {
  it('names what is confounded', () => {
    const design = readSuiteFile(join(examples, 'language-by-size.yaml'));
    const plan = planSuite({
      ...design,
      exclude: [
        ...['fra', 'rus', 'jpn'].map((language) => ({ size: '200k', language })),
        { size: '1m', language: 'deu' },
        { size: '1m', language: 'fra' },
        { size: '1m', language: 'rus' },
      ],
    });
    if (!plan.ok) throw new Error(plan.error.detail);
    expect(describePlan(plan.value)).toContain('CONFOUNDED: size only ever varies together with language');
  });

  it('says large numbers with three digits', () => {
    expect([0, 7, 950, 162_322_944, 2.21e20].map(formatQuantity)).toEqual(['0', '7', '950', '162M', '221E']);
    expect([45, 600, 36_000].map(formatSeconds)).toEqual(['45 s', '10 min', '10.0 h']);
  });
});
