/** A number with its interval, as an evaluation reports it. */
export interface Estimate {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/** What one evaluation of one revision found; the shape of the runner's results. */
export type Finding =
  | {
      readonly task: 'bitsPerByte';
      readonly id: string;
      readonly language: string;
      readonly bitsPerByte: Estimate;
    }
  | {
      readonly task: 'headScores';
      readonly heads: readonly {
        readonly layer: number;
        readonly head: number;
        readonly previousToken: Estimate;
        readonly induction: Estimate;
        readonly duplicateToken: Estimate;
      }[];
    }
  | {
      readonly task: 'minimalPairs';
      readonly id: string;
      readonly language: string;
      readonly accuracy: Estimate;
    };

export type Metric = 'bitsPerByte' | 'previousToken' | 'induction' | 'duplicateToken' | 'accuracy';

export interface Measure extends Estimate {
  readonly metric: Metric;
  readonly text: string | null;
  readonly textLanguage: string | null;
  readonly layer: number | null;
  readonly head: number | null;
}

const nowhere = { text: null, textLanguage: null, layer: null, head: null };

/** The findings of one revision as single numbers. */
export function flattenResults(findings: readonly Finding[]): Measure[] {
  return findings.flatMap(measuresOf);
}

function measuresOf(finding: Finding): Measure[] {
  switch (finding.task) {
    case 'bitsPerByte':
      return [
        measure('bitsPerByte', finding.bitsPerByte, { text: finding.id, textLanguage: finding.language }),
      ];
    case 'minimalPairs':
      return [measure('accuracy', finding.accuracy, { text: finding.id, textLanguage: finding.language })];
    case 'headScores':
      return finding.heads.flatMap(({ layer, head, ...scores }) => [
        measure('previousToken', scores.previousToken, { layer, head }),
        measure('induction', scores.induction, { layer, head }),
        measure('duplicateToken', scores.duplicateToken, { layer, head }),
      ]);
  }
}

function measure(
  metric: Metric,
  { value, low, high }: Estimate,
  where: Partial<typeof nowhere | Measure>,
): Measure {
  return { ...nowhere, ...where, metric, value, low, high };
}
