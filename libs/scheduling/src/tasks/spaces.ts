import {
  type FileEntry,
  filesPerSpaceMax,
  type ProblemCode,
  partsOfSpaceUrl,
  type SpaceFile,
} from '@beamtime/contracts';
import { err, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import { Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { JOB_FILES, type JobFiles } from '../ports.js';

type Refused = Problem<ProblemCode>;

export interface NewSpaceFile {
  readonly path: string;
  readonly objectKey: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly jobId: string | null;
}

interface Row {
  space: string;
  path: string;
  object_key: string;
  size_bytes: string;
  sha256: string;
  job_id: string | null;
  updated_at: Date;
}

/** Names of files in spaces, and what they stand for. Callers have asked whether the space is theirs. */
@Injectable()
export class Spaces {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(JOB_FILES) private readonly files: JobFiles,
  ) {}

  /** Leave to upload; the same bytes are stored once per space. */
  async grantUpload(file: {
    readonly url: string;
    readonly sizeBytes: number;
    readonly sha256: string;
  }): Promise<{ url: string; headers: Record<string, string> } | null> {
    const objectKey = keyOf(file);
    const there = await this.files.find(objectKey);
    if (there?.sizeBytes === file.sizeBytes) return null;
    const leave = await this.files.uploadUrl(objectKey, file);
    return { url: leave.url, headers: { ...leave.headers } };
  }

  async commit(file: {
    readonly url: string;
    readonly sizeBytes: number;
    readonly sha256: string;
  }): Promise<Result<SpaceFile, Refused>> {
    const objectKey = keyOf(file);
    const there = await this.files.find(objectKey);
    if (there === null) return err(problem('object-store.not-found', 'The bytes have not been put yet'));
    if (there.sizeBytes !== file.sizeBytes || (there.sha256 !== null && there.sha256 !== file.sha256))
      return err(problem('object-store.checksum-mismatch', 'The object is not what was announced'));
    const { space, path } = addressOf(file.url);
    return this.transactor.run(async (tx) => {
      const { sizeBytes, sha256 } = file;
      const full = await nameFiles(tx, space, [{ path, objectKey, sizeBytes, sha256, jobId: null }]);
      if (full !== undefined) return err(full);
      const row = await findRow(tx, space, path);
      return row === undefined ? err(notFound(file.url)) : ok(view(row));
    });
  }

  async find(url: string): Promise<Result<SpaceFile & { downloadUrl: string }, Refused>> {
    const { space, path } = addressOf(url);
    const row = await findRow(this.transactor.read, space, path);
    if (row === undefined) return err(notFound(url));
    return ok({ ...view(row), downloadUrl: await this.files.downloadUrl(row.object_key) });
  }

  async list(
    space: string,
    query: { readonly prefix: string; readonly limit: number; readonly after?: string | undefined },
  ): Promise<{ items: SpaceFile[]; next: string | null }> {
    const rows = await this.transactor.read.rows<Row>(
      `SELECT * FROM scheduling.space_file WHERE space = $1 AND starts_with(path, $2) AND path > $3
       ORDER BY path LIMIT $4`,
      [space, query.prefix, query.after ?? '', query.limit + 1],
    );
    const items = rows.slice(0, query.limit);
    return {
      items: items.map(view),
      next: rows.length > query.limit ? (items.at(-1)?.path ?? null) : null,
    };
  }

  async remove(url: string): Promise<boolean> {
    const { space, path } = addressOf(url);
    const changed = await this.transactor.do((tx) =>
      tx.changed('DELETE FROM scheduling.space_file WHERE space = $1 AND path = $2', [space, path]),
    );
    return changed > 0;
  }
}

/** A file, or all files of a folder, as inputs of a job: what they stand for now, whatever is written there later. */
export async function lookUp(
  tx: Tx,
  input: { readonly space: string; readonly path: string; readonly isFolder: boolean },
  stagedAt: string,
  limit: number,
): Promise<FileEntry[]> {
  const rows = input.isFolder
    ? await tx.rows<Row>(
        'SELECT * FROM scheduling.space_file WHERE space = $1 AND starts_with(path, $2) ORDER BY path LIMIT $3',
        [input.space, `${input.path}/`, limit + 1],
      )
    : await tx.rows<Row>('SELECT * FROM scheduling.space_file WHERE space = $1 AND path = $2', [
        input.space,
        input.path,
      ]);
  return rows.map((row) => ({
    path: input.isFolder ? `${stagedAt}${row.path.slice(input.path.length)}` : stagedAt,
    sizeBytes: Number(row.size_bytes),
    sha256: row.sha256,
    objectKey: row.object_key,
  }));
}

/** Points names to objects that are complete, in the caller's transaction; refuses when the space is full. */
export async function nameFiles(
  tx: Tx,
  space: string,
  files: readonly NewSpaceFile[],
): Promise<Refused | undefined> {
  // Two that fill the same space take turns, or each would count without the other.
  await tx.rows('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [`space/${space}`]);
  await tx.rows(
    `INSERT INTO scheduling.space_file (space, path, object_key, size_bytes, sha256, job_id)
     SELECT $1, * FROM unnest($2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[])
     ON CONFLICT (space, path) DO UPDATE SET object_key = excluded.object_key, size_bytes = excluded.size_bytes,
       sha256 = excluded.sha256, job_id = excluded.job_id, updated_at = now()`,
    [
      space,
      files.map((file) => file.path),
      files.map((file) => file.objectKey),
      files.map((file) => file.sizeBytes),
      files.map((file) => file.sha256),
      files.map((file) => file.jobId),
    ],
  );
  const row = await tx.row<{ files: number }>(
    'SELECT count(*)::int AS files FROM scheduling.space_file WHERE space = $1',
    [space],
  );
  if ((row?.files ?? 0) <= filesPerSpaceMax) return undefined;
  return problem('limit.exceeded', `${space} may hold ${filesPerSpaceMax} files; remove some first`);
}

function addressOf(url: string): { space: string; path: string } {
  const parts = partsOfSpaceUrl(url);
  if (parts === undefined) throw new TypeError(`${url} was not checked`);
  return parts;
}

/** Bytes that people put lie under their digest, apart from what jobs made. */
function keyOf(file: { readonly url: string; readonly sha256: string }): string {
  return `spaces/${addressOf(file.url).space}/${file.sha256}`;
}

function findRow(tx: Tx, space: string, path: string): Promise<Row | undefined> {
  return tx.row<Row>('SELECT * FROM scheduling.space_file WHERE space = $1 AND path = $2', [space, path]);
}

function notFound(url: string): Refused {
  return problem('resource.not-found', `There is no file ${url}`);
}

function view(row: Row): SpaceFile {
  return {
    url: `beamtime://${row.space}/${row.path}`,
    sizeBytes: Number(row.size_bytes),
    sha256: row.sha256,
    jobId: row.job_id,
    updatedAt: row.updated_at.toISOString(),
  };
}
