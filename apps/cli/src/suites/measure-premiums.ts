import type { SuiteDesign } from '@beamtime/contracts';
import { UsageError } from '../core/usage-error.js';
import { findText } from './find-text.js';

interface BytePremium {
  readonly language: string;
  readonly bytes: number;
  readonly bytePremium: number;
}

/**
 * The byte premium of each language of a suite: bytes of its text over bytes of the reference's. It holds only where the
 * texts say the same (Arnold, Chang and Bergen 2024, arXiv:2403.00686).
 */
export function measurePremiums(
  design: SuiteDesign,
  reference: string,
  corpora: string | undefined,
): BytePremium[] {
  const languages = design.factors.language;
  const names = languages.map((level) => level.name);
  if (!names.includes(reference)) {
    throw new UsageError(
      `--reference ${reference}: there is no such language; there are ${names.join(', ')}`,
    );
  }
  const measured = languages.map((level) => {
    const { bytes, format } = findText(level.corpusId, corpora);
    if (format !== 'text') {
      throw new UsageError(
        `${level.corpusId} is JSON lines; a byte premium is measured on plain parallel text`,
      );
    }
    if (bytes.length === 0) throw new UsageError(`${level.corpusId} is empty`);
    return { language: level.name, bytes: bytes.length };
  });
  const one = measured.find((entry) => entry.language === reference)?.bytes ?? 1;
  return measured.map((entry) => ({
    ...entry,
    bytePremium: Math.round((entry.bytes / one) * 10_000) / 10_000,
  }));
}
