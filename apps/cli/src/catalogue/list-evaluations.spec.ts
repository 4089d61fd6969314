import { describe, expect, it } from 'vitest';
import { describeEvaluations, type Evaluation, flattenEvaluations } from './list-evaluations.js';

const estimate = (value: number) => ({ value, low: value - 0.05, high: value + 0.05, level: 0.95 });
const heads = [0.1, 0.7, 0.3].map((value, head) => ({
  layer: 1,
  head,
  previousToken: estimate(value),
  duplicateToken: estimate(value / 2),
  induction: estimate(value / 4),
}));
const common = { language: 'eng', script: 'Latn', sha256: 'a'.repeat(64) };

function evaluation(step: number): Evaluation {
  return {
    jobId: 'job_1',
    studyId: 'stu_1',
    revision: `step${step}`,
    step,
    results: [
      {
        ...common,
        task: 'bitsPerByte',
        id: 'cor_text',
        bitsPerByte: estimate(2),
        bytes: 1234,
        tokens: 900,
        objective: 'causal',
      },
      { ...common, task: 'minimalPairs', id: 'cor_gone', accuracy: estimate(0.75), pairs: 40 },
      { task: 'headScores', sequences: 16, heads },
    ],
    receipt: {
      revision: `step${step}`,
      weightsSha256: String(step).repeat(64),
      tokenizerSha256: 'b'.repeat(64),
      codeVersion: '0.1.0',
      torchVersion: '2.9',
      transformersVersion: '5.1',
      dtype: 'float32',
      device: 'cpu AVX2',
      threads: 1,
      deterministic: true,
      batchInvariant: true,
    },
    reportedAt: '2026-01-01T00:00:00Z',
  };
}

describe('the evaluations of a model', () => {
  const found = flattenEvaluations(
    [evaluation(0), evaluation(8)],
    [{ corpusId: 'cor_text', name: 'udhr-eng' }],
  );

  it('are single numbers, each with its revision, subject and interval', () => {
    expect(found.numbers).toHaveLength(2 * (1 + 1 + 9));
    expect(found.numbers[1]).toEqual({
      revision: 'step0',
      step: 0,
      jobId: 'job_1',
      studyId: 'stu_1',
      metric: 'accuracy',
      text: 'cor_gone',
      language: 'eng',
      layer: null,
      head: null,
      count: 40,
      ...estimate(0.75),
    });
    expect(found.numbers[0]).toMatchObject({ metric: 'bitsPerByte', text: 'udhr-eng', count: 1234 });
    expect(found.receipts.map((one) => one.revision)).toEqual(['step0', 'step8']);
  });

  it('are shown with the highest head of each kind, and what computed them once', () => {
    const lines = describeEvaluations(found, false).split('\n');
    expect(lines.filter((line) => line.startsWith('step'))).toHaveLength(2 * 5);
    expect(lines[2]).toMatch(
      /^step0 +bitsPerByte +udhr-eng \(eng\) +2\.0000 +1\.9500 to 2\.0500 \(95 %\) +1,234 bytes/,
    );
    expect(lines.join('\n')).toMatch(/previousToken +layer 1 head 1 +0\.7000/);
    expect(lines).toContain('The highest head of each kind; 12 more scores with --heads.');
    expect(lines.filter((line) => line.startsWith('measured by'))).toHaveLength(1);
    expect(lines.join('\n')).toMatch(/versions +runner 0\.1\.0, torch 2\.9, transformers 5\.1/);
    expect(lines.at(-1)).toBe(`weights sha256, step8  ${'8'.repeat(64)}`);
    expect(describeEvaluations(found, true).match(/^step/gm)).toHaveLength(2 * 11);
  });

  it('that do not exist are said to be none', () => {
    expect(describeEvaluations({ numbers: [], receipts: [] }, false)).toMatch(/^No evaluations yet/);
  });
});
