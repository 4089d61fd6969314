import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { planSuite } from '@beamtime/suites';
import { afterAll, describe, expect, it } from 'vitest';
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
  it('is refused with the names of the fields that do not fit', () => {
    const path = written('name: Size Seed\ntitle: x\nfactors: { family: [gpt5] }\n');
    expect(() => readSuiteFile(path)).toThrow(/name: .*\n {2}factors\.family\[0\]: /);
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
