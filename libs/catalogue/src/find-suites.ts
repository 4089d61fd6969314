import type {
  CorpusView,
  InputOf,
  listCorpora,
  listSuites,
  ResponseOf,
  SuiteDesign,
  showSuite,
} from '@beamtime/contracts';
import { err, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import { Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { type CorpusRecord, corpusView } from './postgres/read-corpora.js';
import { readModels } from './postgres/read-models.js';
import { suiteViews } from './postgres/read-suites.js';
import type { Viewer } from './viewer.js';

/** Questions to the catalogue about suites and corpora. */
@Injectable()
export class FindSuites {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  async list(query: InputOf<typeof listSuites>['query']): Promise<ResponseOf<typeof listSuites>> {
    const items = await suiteViews(this.transactor.read, {
      ...(query.roundId === undefined ? {} : { roundId: query.roundId }),
      ...(query.after === undefined ? {} : { before: query.after }),
      limit: query.limit,
    });
    return { items, next: items.length === query.limit ? (items.at(-1)?.suiteId ?? null) : null };
  }

  async show(
    viewer: Viewer,
    suiteId: string,
  ): Promise<Result<ResponseOf<typeof showSuite>, Problem<'resource.not-found'>>> {
    const tx = this.transactor.read;
    const [suite] = await suiteViews(tx, { ids: [suiteId] });
    const row = await tx.row<{ design: SuiteDesign }>('SELECT design FROM catalogue.suite WHERE id = $1', [
      suiteId,
    ]);
    if (suite === undefined || row === undefined) {
      return err(problem('resource.not-found', `There is no suite ${suiteId}`));
    }
    const models = await readModels(tx, viewer, { suiteId });
    const members = models.map((model) => ({
      modelId: model.id,
      name: model.name,
      state: model.state,
      revisions: model.revisions,
    }));
    return ok({ ...suite, design: row.design, members });
  }

  async corpora(query: InputOf<typeof listCorpora>['query']): Promise<ResponseOf<typeof listCorpora>> {
    const records = await this.transactor.read.rows<CorpusRecord>(
      `SELECT * FROM catalogue.corpus
       WHERE ($1::text IS NULL OR language = $1) AND ($2::text IS NULL OR state = $2) AND ($3::text IS NULL OR id < $3)
       ORDER BY id DESC LIMIT $4`,
      [query.language ?? null, query.state ?? null, query.after ?? null, query.limit],
    );
    const last = records.length === query.limit ? records.at(-1) : undefined;
    return { items: records.map(corpusView), next: last?.id ?? null };
  }

  async corpus(corpusId: string): Promise<Result<CorpusView, Problem<'resource.not-found'>>> {
    const record = await this.transactor.read.row<CorpusRecord>(
      'SELECT * FROM catalogue.corpus WHERE id = $1',
      [corpusId],
    );
    return record === undefined
      ? err(problem('resource.not-found', `There is no corpus ${corpusId}`))
      : ok(corpusView(record));
  }
}
