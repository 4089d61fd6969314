import type { JobEvent, LogChunk, MetricPoint } from '@beamtime/contracts';
import { Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';

/** What a job left behind: history, logs, metrics, artifacts. */
@Injectable()
export class JobTraces {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  async events(jobId: string, afterId: number, limit: number): Promise<JobEvent[]> {
    const rows = await this.transactor.read.rows<{
      id: string;
      at: Date;
      attempt: number | null;
      subject: JobEvent['subject'];
      from_state: string | null;
      to_state: string;
      actor: string;
      reason: string | null;
    }>('SELECT * FROM scheduling.job_event WHERE job_id = $1 AND id > $2 ORDER BY id LIMIT $3', [
      jobId,
      afterId,
      limit,
    ]);
    return rows.map((row) => ({
      id: Number(row.id),
      at: row.at.toISOString(),
      attempt: row.attempt,
      subject: row.subject,
      from: row.from_state,
      to: row.to_state,
      actor: row.actor,
      reason: row.reason,
    }));
  }

  async lastAttempt(jobId: string): Promise<number | null> {
    const row = await this.transactor.read.row<{ last: number | null }>(
      'SELECT max(number) AS last FROM scheduling.attempt WHERE job_id = $1',
      [jobId],
    );
    return row?.last ?? null;
  }

  async logs(
    jobId: string,
    attempt: number,
    afterSeq: number,
    limit: number,
  ): Promise<{ items: LogChunk[]; droppedBytes: number }> {
    const tx = this.transactor.read;
    const rows = await tx.rows<{
      seq: number;
      offset_bytes: string;
      stream: LogChunk['stream'];
      text: string;
    }>(
      `SELECT seq, offset_bytes, stream, text FROM scheduling.job_log
       WHERE job_id = $1 AND attempt = $2 AND seq > $3 ORDER BY seq LIMIT $4`,
      [jobId, attempt, afterSeq, limit],
    );
    const kept = await tx.row<{ log_bytes_dropped: string }>(
      'SELECT log_bytes_dropped FROM scheduling.attempt WHERE job_id = $1 AND number = $2',
      [jobId, attempt],
    );
    return {
      items: rows.map((row) => ({
        seq: row.seq,
        offset: Number(row.offset_bytes),
        stream: row.stream,
        text: row.text,
      })),
      droppedBytes: Number(kept?.log_bytes_dropped ?? 0),
    };
  }

  /** Chunks of all attempts in order, after (attempt, number of the chunk). */
  async logsAfter(
    jobId: string,
    [attempt, seq]: readonly [number, number],
    limit: number,
  ): Promise<{ attempt: number; chunk: LogChunk }[]> {
    const rows = await this.transactor.read.rows<{
      attempt: number;
      seq: number;
      offset_bytes: string;
      stream: LogChunk['stream'];
      text: string;
    }>(
      `SELECT attempt, seq, offset_bytes, stream, text FROM scheduling.job_log
       WHERE job_id = $1 AND (attempt, seq) > ($2::int, $3::bigint) ORDER BY attempt, seq LIMIT $4`,
      [jobId, attempt, seq, limit],
    );
    return rows.map((row) => ({
      attempt: row.attempt,
      chunk: { seq: row.seq, offset: Number(row.offset_bytes), stream: row.stream, text: row.text },
    }));
  }

  /** Points of all attempts in the order in which they came, after (attempt, step). */
  async metricsAfter(
    jobId: string,
    [attempt, step]: readonly [number, number],
    limit: number,
  ): Promise<MetricPoint[]> {
    const rows = await this.transactor.read.rows<MetricRow>(
      `SELECT attempt, step, loss, tokens_per_second FROM scheduling.job_metric
       WHERE job_id = $1 AND (attempt, step) > ($2::int, $3::bigint) ORDER BY attempt, step LIMIT $4`,
      [jobId, attempt, step, limit],
    );
    return rows.map(pointOf);
  }

  /** One point per step: where attempts overlap, the later one counts. */
  async metrics(jobId: string, afterStep: number, limit: number): Promise<MetricPoint[]> {
    const rows = await this.transactor.read.rows<MetricRow>(
      `SELECT DISTINCT ON (step) attempt, step, loss, tokens_per_second FROM scheduling.job_metric
       WHERE job_id = $1 AND step > $2 ORDER BY step, attempt DESC LIMIT $3`,
      [jobId, afterStep, limit],
    );
    return rows.map(pointOf);
  }

  /** Files that a job made beside checkpoints. */
  artifacts(
    jobId: string,
  ): Promise<{ name: string; mediaType: string; objectKey: string; sizeBytes: number; sha256: string }[]> {
    return this.transactor.read.rows(
      `SELECT name, media_type AS "mediaType", object_key AS "objectKey", size_bytes::float8 AS "sizeBytes", sha256
       FROM scheduling.artifact WHERE job_id = $1 ORDER BY name`,
      [jobId],
    );
  }
}

interface MetricRow {
  attempt: number;
  step: string;
  loss: number | null;
  tokens_per_second: number | null;
}

function pointOf(row: MetricRow): MetricPoint {
  return {
    attempt: row.attempt,
    step: Number(row.step),
    loss: row.loss,
    tokensPerSecond: row.tokens_per_second,
  };
}
