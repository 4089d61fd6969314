import type { CorpusView } from '@beamtime/contracts';
import type { CorpusFormat } from '../domain/check-lines.js';
import type { CorpusState } from '../domain/lifecycles.js';

export interface CorpusRecord {
  id: string;
  name: string;
  description: string;
  language: string;
  script: string;
  format: CorpusFormat;
  size_bytes: string;
  sha256: string;
  object_key: string;
  state: CorpusState;
  reason: string | null;
  lab_id: string | null;
  uploaded_by: string;
  created_at: Date;
  ready_at: Date | null;
}

export function corpusView(record: CorpusRecord): CorpusView {
  return {
    corpusId: record.id,
    name: record.name,
    description: record.description,
    language: record.language,
    script: record.script,
    format: record.format,
    sizeBytes: Number(record.size_bytes),
    sha256: record.sha256,
    state: record.state,
    reason: record.reason,
    labId: record.lab_id,
    uploadedBy: record.uploaded_by,
    createdAt: record.created_at.toISOString(),
    readyAt: record.ready_at?.toISOString() ?? null,
  };
}
