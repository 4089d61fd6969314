import { assertSoundLifecycle } from '@beamtime/kernel/testing';
import { describe, expect, it } from 'vitest';
import { renderSvg } from '../render-svg.js';
import { madeUpRows } from '../testing.js';
import { drawFigure } from './draw-figure.js';
import { flattenResults } from './flatten-results.js';
import { studyLifecycle, studyState } from './study-lifecycle.js';
import { csvLine } from './write-csv.js';

const text = { title: 'Size, language and seed', subtitle: '8 models, 80 revisions' };

describe('a study', () => {
  it('ends when its last job has, and is complete when none failed', () => {
    assertSoundLifecycle(studyLifecycle, 'running');
    expect(studyState(['succeeded', 'running'])).toBe('running');
    expect(studyState(['succeeded', 'succeeded'])).toBe('complete');
    expect(studyState(['succeeded', 'failed'])).toBe('incomplete');
  });

  it('has three numbers for each head and one for each text', () => {
    const score = { value: 0.1, low: 0, high: 0.2 };
    const measures = flattenResults([
      {
        task: 'bitsPerByte',
        id: 'udhr-deu',
        language: 'deu',
        bitsPerByte: { value: 3, low: 2.9, high: 3.1 },
      },
      {
        task: 'headScores',
        heads: [{ layer: 0, head: 1, previousToken: score, induction: score, duplicateToken: score }],
      },
    ]);
    expect(measures.map(({ metric, text: of, head }) => [metric, of, head])).toEqual([
      ['bitsPerByte', 'udhr-deu', null],
      ['previousToken', null, 1],
      ['induction', null, 1],
      ['duplicateToken', null, 1],
    ]);
  });

  it('is written as CSV that a spreadsheet reads and does not run', () => {
    expect(csvLine(['a,b', 'say "x"', null, 1.5, '=1+1'])).toBe(`"a,b","say ""x""",,1.5,'=1+1\r\n`);
  });
});

describe('the figure', () => {
  it('labels every axis with its unit, and has a legend for language, seed and size', async () => {
    const spec = drawFigure(madeUpRows(), text);
    if (spec === undefined) throw new Error('no figure');
    const svg = await renderSvg(spec);
    for (const label of [
      'Parameters (log scale)',
      'Training step (log scale)',
      'Held-out loss (bits per byte)',
      'Score (share of attention, 0 to 1)',
      'Language',
      'Initialisation seed',
      'Size',
      text.title,
    ]) {
      expect(svg).toContain(label);
    }
    expect(svg).not.toMatch(/NaN|<script|xlink:href="http|href="http/);
    const out = process.env['FIGURE_OUT'];
    if (out !== undefined) await (await import('node:fs/promises')).writeFile(out, svg);
  });

  it('draws what there is, and is absent when there is nothing', () => {
    const heads = madeUpRows().filter((row) => row.head !== null);
    expect(drawFigure(heads, text)?.['concat']).toHaveLength(2);
    const loss = madeUpRows().filter((row) => row.head === null);
    expect(drawFigure(loss, text)?.['concat']).toHaveLength(2);
    expect(drawFigure([], text)).toBeUndefined();
  });

  it('takes a single model at a single step', async () => {
    const one = madeUpRows().filter((row) => row.model === 'demo-neox-1m-eng-s1' && row.step === 200);
    const spec = drawFigure(one, text);
    expect(spec === undefined ? '' : await renderSvg(spec)).not.toContain('NaN');
  });
});
