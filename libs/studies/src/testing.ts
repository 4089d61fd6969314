import type { FigureRow } from './domain/draw-figure.js';

const steps = [0, 1, 2, 4, 8, 16, 32, 64, 128, 200];

/** Made-up numbers of the shape that training gives: 2 sizes × 2 languages × 2 seeds, ten revisions each. */
export function madeUpRows(): FigureRow[] {
  const rows: FigureRow[] = [];
  for (const [size, parameters, gain] of [
    ['200k', 214_000, 1],
    ['1m', 1_060_000, 1.35],
  ] as const) {
    for (const [language, floor] of [
      ['eng', 2.6],
      ['deu', 2.9],
    ] as const) {
      for (const seed of [1, 2]) {
        const model = `demo-neox-${size}-${language}-s${seed}`;
        const base = { model, parameters, size, language, initialisationSeed: seed };
        for (const step of steps) {
          const done = Math.log2(1 + step) / Math.log2(201);
          const value = 8.1 - (8.1 - floor) * done * (0.82 + 0.13 * gain) + 0.04 * seed;
          rows.push({
            ...base,
            step,
            metric: 'bitsPerByte',
            textLanguage: language,
            layer: null,
            head: null,
            value,
            low: value - 0.06,
            high: value + 0.06,
          });
          for (const metric of ['previousToken', 'induction'] as const) {
            for (let head = 0; head < 4; head++) {
              const late = metric === 'induction' ? 0.75 : 0.5;
              const score =
                (0.03 + 0.7 * gain * Math.max(0, done - late) * (1 - head * 0.2)) * (1 + seed * 0.04);
              rows.push({
                ...base,
                step,
                metric,
                textLanguage: null,
                layer: 1,
                head,
                value: score,
                low: score,
                high: score,
              });
            }
          }
        }
      }
    }
  }
  return rows;
}
