import { type ApiClient, type CorpusView, listEvaluations, type ResponseOf } from '@beamtime/contracts';
import { formatFields, formatTable } from '../core/format-table.js';

export type Evaluation = ResponseOf<typeof listEvaluations>['items'][number];
type Estimate = {
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly level: number;
};

/** One measured number: of which revision, by which job, on what, with its interval. */
export interface MeasuredNumber extends Estimate {
  readonly revision: string;
  readonly step: number;
  readonly jobId: string;
  readonly studyId: string | null;
  readonly metric: 'bitsPerByte' | 'accuracy' | 'previousToken' | 'duplicateToken' | 'induction';
  /** Name of the text or of the set of minimal pairs; null for heads. */
  readonly text: string | null;
  readonly language: string | null;
  readonly layer: number | null;
  readonly head: number | null;
  /** What was averaged over: bytes of text, pairs, sequences. */
  readonly count: number;
}

/** What produced the numbers of one revision in one job. */
export type Receipt = NonNullable<Evaluation['receipt']> & { readonly jobId: string };

export interface Evaluations {
  readonly numbers: readonly MeasuredNumber[];
  readonly receipts: readonly Receipt[];
}

/** All evaluations of a model, number by number. */
export async function readEvaluations(client: ApiClient, model: string): Promise<Evaluation[]> {
  const items: Evaluation[] = [];
  for (let after: string | undefined; ; ) {
    const page = await client.call(listEvaluations, { params: { model }, query: { after, limit: 500 } });
    items.push(...page.items);
    if (page.next === null) return items;
    after = page.next;
  }
}

/** @param corpora those whose names stand for their ids. */
export function flattenEvaluations(
  items: readonly Evaluation[],
  corpora: readonly Pick<CorpusView, 'corpusId' | 'name'>[],
): Evaluations {
  const names = new Map<string, string>(corpora.map((one) => [one.corpusId, one.name]));
  return {
    numbers: items.flatMap((item) => numbersOf(item, names)),
    receipts: items.flatMap(({ receipt, jobId }) => (receipt === null ? [] : [{ ...receipt, jobId }])),
  };
}

function numbersOf(item: Evaluation, names: ReadonlyMap<string, string>): MeasuredNumber[] {
  const { revision, step, jobId, studyId } = item;
  const common = { revision, step, jobId, studyId };
  const heads = { text: null, language: null };
  return item.results.flatMap((result): MeasuredNumber[] => {
    if (result.task === 'headScores') {
      const kinds = ['previousToken', 'duplicateToken', 'induction'] as const;
      return kinds.flatMap((metric) =>
        result.heads.map((one) => ({
          ...common,
          ...heads,
          metric,
          layer: one.layer,
          head: one.head,
          count: result.sequences,
          ...one[metric],
        })),
      );
    }
    const on = {
      text: names.get(result.id) ?? result.id,
      language: result.language,
      layer: null,
      head: null,
    };
    return result.task === 'bitsPerByte'
      ? [{ ...common, ...on, metric: 'bitsPerByte', count: result.bytes, ...result.bitsPerByte }]
      : [{ ...common, ...on, metric: 'accuracy', count: result.pairs, ...result.accuracy }];
  });
}

const countedIn = {
  bitsPerByte: 'bytes',
  accuracy: 'pairs',
  previousToken: 'sequences',
  duplicateToken: 'sequences',
  induction: 'sequences',
} as const;

/**
 * Numbers and receipts for a person.
 * @param everyHead all heads; otherwise the highest of each kind stands for the others.
 */
export function describeEvaluations({ numbers, receipts }: Evaluations, everyHead: boolean): string {
  const shown = everyHead ? numbers : withoutLowerHeads(numbers);
  const hidden = numbers.length - shown.length;
  const table = formatTable(
    ['revision', 'metric', 'of', 'value', 'interval', 'over', 'study'],
    shown.map((one) => [
      one.revision,
      one.metric,
      one.text === null ? `layer ${one.layer} head ${one.head}` : `${one.text} (${one.language})`,
      digits(one.value),
      `${digits(one.low)} to ${digits(one.high)} (${Math.round(one.level * 100)} %)`,
      `${one.count.toLocaleString('en')} ${countedIn[one.metric]}`,
      one.studyId,
    ]),
    'No evaluations yet: beamtime study create --help',
  );
  return [
    table,
    ...(hidden > 0 ? ['', `The highest head of each kind; ${hidden} more scores with --heads.`] : []),
    ...receiptGroups(receipts).flatMap((fields) => ['', formatFields(fields)]),
  ].join('\n');
}

function withoutLowerHeads(numbers: readonly MeasuredNumber[]): MeasuredNumber[] {
  const highest = new Map<string, MeasuredNumber>();
  for (const one of numbers) {
    const kind = `${one.jobId} ${one.revision} ${one.metric}`;
    const known = highest.get(kind);
    if (one.head !== null && (known === undefined || one.value > known.value)) highest.set(kind, one);
  }
  const kept = new Set(highest.values());
  return numbers.filter((one) => one.head === null || kept.has(one));
}

/** Receipts that differ in their revision and weights alone are said once, with the weights of each. */
function receiptGroups(receipts: readonly Receipt[]): Record<string, string | number | boolean>[] {
  const groups = new Map<string, { fields: Record<string, string | number | boolean>; weights: string[] }>();
  for (const { revision, weightsSha256, ...one } of receipts) {
    const key = JSON.stringify(one);
    const group = groups.get(key) ?? {
      fields: {
        'measured by': one.jobId,
        device: `${one.device}, ${one.threads} thread${one.threads === 1 ? '' : 's'}`,
        dtype: one.dtype,
        versions: `runner ${one.codeVersion}, torch ${one.torchVersion}, transformers ${one.transformersVersion}`,
        deterministic: one.deterministic,
        'batch invariant': one.batchInvariant,
        'tokenizer sha256': one.tokenizerSha256,
      },
      weights: [],
    };
    group.weights.push(`${revision} ${weightsSha256}`);
    groups.set(key, group);
  }
  return [...groups.values()].map(({ fields, weights }) => ({
    ...fields,
    ...Object.fromEntries(
      weights.map((one) => {
        const [revision = '', sha256 = ''] = one.split(' ');
        return [`weights sha256, ${revision}`, sha256];
      }),
    ),
  }));
}

function digits(value: number): string {
  return value.toFixed(4);
}
