/** What a figure needs of a number of the study. */
export interface FigureRow {
  readonly model: string;
  readonly step: number;
  readonly parameters: number | null;
  readonly size: string | null;
  readonly language: string | null;
  readonly initialisationSeed: number | null;
  readonly metric: string;
  readonly textLanguage: string | null;
  readonly layer: number | null;
  readonly head: number | null;
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

export interface FigureText {
  readonly title: string;
  readonly subtitle: string;
}

/** A Vega-Lite specification; this module knows its shape, the edge knows the library. */
export type FigureSpec = Readonly<Record<string, unknown>>;

const panel = { width: 330, height: 230 } as const;
/** Okabe and Ito's palette: told apart with every kind of colour vision. */
const palette = ['#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#000000', '#8C6D1F'];
const ink = '#222222';
const faint = '#e4e4e4';
/** A step of zero has no place on a logarithmic axis; it is drawn here and labelled 0. */
const stepOfZero = 0.5;

/**
 * The figure of a study, or undefined when nothing can be drawn: held-out loss against size by language and seed, the
 * same against training step, the same two of accuracy on minimal pairs, and the strongest previous-token and induction head of each model against training step.
 */
export function drawFigure(rows: readonly FigureRow[], text: FigureText): FigureSpec | undefined {
  const loss = rows.filter((row) => row.metric === 'bitsPerByte' && row.textLanguage === row.language);
  const accuracy = meansOverSets(
    rows.filter((row) => row.metric === 'accuracy' && row.textLanguage === row.language),
  );
  const heads = strongestHeads(rows);
  const panels = [
    ...(loss.length > 0 ? [...bySize(loss, lossPanels), byStep(loss, lossPanels)] : []),
    ...(accuracy.length > 0 ? [...bySize(accuracy, accuracyPanels), byStep(accuracy, accuracyPanels)] : []),
    ...(heads.length > 0
      ? [
          scoreByStep(heads, 'previousToken', 'Strongest previous-token head'),
          scoreByStep(heads, 'induction', 'Strongest induction head'),
        ]
      : []),
  ];
  if (panels.length === 0) return undefined;
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    title: {
      text: text.title,
      subtitle: text.subtitle,
      anchor: 'start',
      fontSize: 17,
      subtitleFontSize: 11,
      subtitleColor: '#666666',
      offset: 16,
      subtitlePadding: 5,
    },
    background: 'white',
    padding: 16,
    // Panels stand in line by their plots, not by how wide their labels are.
    bounds: 'flush',
    columns: 2,
    spacing: { row: 96, column: 84 },
    concat: panels,
    config: {
      font: 'Helvetica, Arial, sans-serif',
      view: { stroke: null },
      axis: {
        gridColor: faint,
        domainColor: ink,
        tickColor: ink,
        labelColor: ink,
        titleColor: ink,
        titleFontWeight: 'normal',
        titleFontSize: 12,
        labelFontSize: 11,
        labelFlush: false,
        titlePadding: 8,
      },
      legend: {
        titleFontWeight: 'normal',
        titleFontSize: 12,
        labelFontSize: 11,
        titleColor: ink,
        labelColor: ink,
        titleLimit: 300,
      },
      title: { anchor: 'start', frame: 'group', fontSize: 13, fontWeight: 'bold', color: ink, offset: 8 },
    },
  };
}

interface Point {
  readonly model: string;
  readonly step: number;
  readonly parameters: number;
  readonly size: string;
  readonly language: string;
  readonly seed: string;
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

function point(row: FigureRow): Point {
  return {
    model: row.model,
    step: row.step === 0 ? stepOfZero : row.step,
    parameters: row.parameters ?? 0,
    size: row.size ?? 'unknown',
    language: row.language ?? 'unknown',
    seed: row.initialisationSeed === null ? 'unknown' : String(row.initialisationSeed),
    value: row.value,
    low: row.low,
    high: row.high,
  };
}

/** Of each model, step and metric, the head with the highest score. */
function strongestHeads(rows: readonly FigureRow[]): FigureRow[] {
  const best = new Map<string, FigureRow>();
  for (const row of rows) {
    if (row.head === null) continue;
    const key = JSON.stringify([row.model, row.step, row.metric]);
    const before = best.get(key);
    if (before === undefined || row.value > before.value) best.set(key, row);
  }
  return [...best.values()];
}

function lastOfEach(rows: readonly FigureRow[]): FigureRow[] {
  const last = new Map<string, FigureRow>();
  for (const row of rows) {
    const before = last.get(row.model);
    if (before === undefined || row.step > before.step) last.set(row.model, row);
  }
  return [...last.values()];
}

function sorted<T>(values: Iterable<T>): T[] {
  return [...new Set(values)].sort((a, b) => (a < b ? -1 : 1));
}

function sizesInOrder(points: readonly Point[]): string[] {
  const smallest = new Map<string, number>();
  for (const { size, parameters } of points) {
    smallest.set(size, Math.min(parameters, smallest.get(size) ?? Number.POSITIVE_INFINITY));
  }
  return [...smallest].sort(([, a], [, b]) => a - b).map(([size]) => size);
}

const colour = (points: readonly Point[]) => ({
  field: 'language',
  type: 'nominal',
  title: 'Language',
  scale: { domain: sorted(points.map((one) => one.language)), range: palette },
});

/** How one metric is said in its two panels. */
interface PanelText {
  readonly bySize: string;
  readonly byStep: string;
  readonly axis: string;
  /** What guessing gives, drawn as a line. */
  readonly chance?: number;
}
const lossPanels: PanelText = {
  bySize: 'Loss of the last revision against size',
  byStep: 'Loss of each model in training',
  axis: 'Held-out loss (bits per byte)',
};
const accuracyPanels: PanelText = {
  bySize: 'Minimal pairs: last revision against size',
  byStep: 'Minimal pairs: each model in training',
  axis: 'Accuracy (dashed: chance)',
  chance: 0.5,
};

/** As wide as the data; where guessing is drawn, wide enough to see the data on both sides of it. */
const scaleOf = ({ chance }: PanelText): FigureSpec =>
  chance === undefined
    ? { zero: false }
    : { zero: false, domain: { unionWith: [chance - 0.1, chance + 0.3] } };

const chanceLine = (at: number): FigureSpec => ({
  data: { values: [{ chance: at }] },
  mark: { type: 'rule', strokeDash: [4, 4], color: '#888888' },
  encoding: { y: { field: 'chance', type: 'quantitative' } },
});

/**
 * One number per model and step: the mean over sets of minimal pairs, each set counting equally as in BLiMP. The
 * intervals of several sets are joined as those of independent samples.
 */
function meansOverSets(rows: readonly FigureRow[]): FigureRow[] {
  const groups = new Map<string, FigureRow[]>();
  for (const row of rows) {
    const key = JSON.stringify([row.model, row.step]);
    groups.set(key, [...(groups.get(key) ?? []), row]);
  }
  return [...groups.values()].flatMap((sets) => {
    const [first] = sets;
    if (first === undefined || sets.length === 1) return sets;
    const value = sets.reduce((sum, set) => sum + set.value, 0) / sets.length;
    const joined = (width: (set: FigureRow) => number): number =>
      Math.sqrt(sets.reduce((sum, set) => sum + width(set) ** 2, 0)) / sets.length;
    const low = value - joined((set) => set.value - set.low);
    return [{ ...first, value, low, high: value + joined((set) => set.high - set.value) }];
  });
}

/** None where no model's size is known. */
function bySize(rows: readonly FigureRow[], text: PanelText): FigureSpec[] {
  const points = lastOfEach(rows)
    .filter((row) => row.parameters !== null)
    .map(point);
  if (points.length === 0) return [];
  const parameters = sorted(points.map((one) => one.parameters));
  const x = {
    field: 'parameters',
    type: 'quantitative',
    title: 'Parameters (log scale)',
    scale: { type: 'log', domain: around(parameters), nice: false },
    // With few sizes the axis names exactly those.
    axis:
      parameters.length <= 6
        ? { values: spacedOut(parameters), format: '.3~s' }
        : { format: '~s', tickCount: 5 },
  };
  const y = {
    field: 'value',
    type: 'quantitative',
    title: text.axis,
    scale: scaleOf(text),
  };
  const spec = {
    ...panel,
    title: text.bySize,
    data: { values: points },
    layer: [
      ...(text.chance === undefined ? [] : [chanceLine(text.chance)]),
      {
        mark: { type: 'line', strokeWidth: 2, opacity: 0.75 },
        encoding: { x, y: { ...y, aggregate: 'mean' }, color: colour(points) },
      },
      {
        mark: { type: 'rule', strokeWidth: 1.2, opacity: 0.8 },
        encoding: { x, y: { ...y, field: 'low' }, y2: { field: 'high' }, color: colour(points) },
      },
      {
        mark: { type: 'point', filled: true, size: 70, opacity: 0.95 },
        encoding: {
          x,
          y,
          color: colour(points),
          shape: { field: 'seed', type: 'nominal', title: 'Initialisation seed' },
        },
      },
    ],
  };
  return [spec];
}

/** A logarithmic domain with room at both ends. */
function around(values: readonly number[]): [number, number] {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const room = least === most ? 2 : (most / least) ** 0.08;
  return [least / room, most * room];
}

/** Values that would be labelled over each other are left out: neighbours differ by a tenth of the axis at least. */
function spacedOut(values: readonly number[]): number[] {
  const [from, to] = around(values);
  const apart = Math.log(to / from) * 0.14;
  const kept: number[] = [];
  for (const value of values) {
    const before = kept.at(-1);
    if (before === undefined || Math.log(value / before) >= apart) kept.push(value);
  }
  return kept;
}

/** Powers of two as far as the data goes, thinned to what can be labelled, and 0 where there is such a step. */
function stepAxis(points: readonly Point[]): FigureSpec {
  const most = Math.max(...points.map((one) => one.step), 1);
  const powers = Array.from({ length: Math.floor(Math.log2(most)) + 1 }, (_, power) => 2 ** power);
  const every = Math.ceil(powers.length / 8);
  const values = powers.filter((_, index) => index % every === 0);
  const zero = points.some((one) => one.step === stepOfZero);
  return {
    field: 'step',
    type: 'quantitative',
    title: 'Training step (log scale)',
    scale: { type: 'log', base: 2, domain: [zero ? stepOfZero : 1, most], nice: false },
    axis: {
      values: zero ? [stepOfZero, ...values] : values,
      labelExpr: `datum.value < 1 ? '0' : format(datum.value, ',')`,
    },
  };
}

function curves(points: readonly Point[], y: FigureSpec): FigureSpec {
  const encoding = {
    x: stepAxis(points),
    y,
    color: colour(points),
    strokeDash: {
      field: 'size',
      type: 'nominal',
      title: 'Size',
      legend: { symbolType: 'stroke', symbolSize: 400, symbolStrokeWidth: 1.8 },
      scale: {
        domain: sizesInOrder(points),
        range: [
          [1, 0],
          [6, 3],
          [2, 2],
          [8, 3, 2, 3],
          [1, 3],
        ],
      },
    },
    detail: { field: 'model', type: 'nominal' },
  };
  return {
    ...panel,
    data: { values: points },
    mark: { type: 'line', strokeWidth: 1.8, opacity: 0.85, point: false },
    encoding,
  };
}

function byStep(rows: readonly FigureRow[], text: PanelText): FigureSpec {
  const { data, mark, encoding, ...size } = curves(rows.map(point), {
    field: 'value',
    type: 'quantitative',
    title: text.axis,
    scale: scaleOf(text),
  });
  const chance = text.chance === undefined ? [] : [chanceLine(text.chance)];
  return { title: text.byStep, ...size, layer: [...chance, { data, mark, encoding }] };
}

function scoreByStep(rows: readonly FigureRow[], metric: string, title: string): FigureSpec {
  return {
    title,
    ...curves(rows.filter((row) => row.metric === metric).map(point), {
      field: 'value',
      type: 'quantitative',
      title: 'Score (share of attention, 0 to 1)',
      scale: { domainMin: 0, nice: true },
    }),
  };
}
