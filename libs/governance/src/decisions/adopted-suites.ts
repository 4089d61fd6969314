import { type SuiteDesign, suiteDesignSchema } from '@beamtime/contracts';
import { err, ok, problem, type Result } from '@beamtime/kernel';
import { type PersonPrincipal, Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import type { Refusal } from '../postgres/rounds.js';

export interface AdoptedSuiteView {
  readonly suiteId: string;
  readonly roundId: string;
  readonly proposalId: string;
  readonly labId: string;
  readonly title: string;
  readonly gpuType: string;
  readonly gpuSeconds: number;
  readonly state: 'reserved' | 'released';
  readonly design: SuiteDesign;
  readonly adoptedAt: string;
  readonly releasedAt: string | null;
}

interface AdoptedSuiteRecord {
  suite_id: string;
  round_id: string;
  proposal_id: string;
  lab_id: string;
  title: string;
  gpu_type: string;
  gpu_seconds: string;
  design: unknown;
  state: AdoptedSuiteView['state'];
  adopted_at: Date;
  released_at: Date | null;
}

const columns = `suite_id, round_id, proposal_id, lab_id, title, gpu_type, gpu_seconds, design, state, adopted_at,
  released_at`;

/** Lists adopted suites, and returns what one has not spent of its reservation. */
@Injectable()
export class AdoptedSuites {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  async page(page: {
    limit: number;
    after?: string | undefined;
    roundId?: string | undefined;
  }): Promise<{ items: AdoptedSuiteView[]; next: string | null }> {
    const rows = await this.transactor.read.rows<AdoptedSuiteRecord>(
      `SELECT ${columns} FROM governance.adopted_suite
       WHERE ($1::text IS NULL OR suite_id > $1) AND ($2::text IS NULL OR round_id = $2) ORDER BY suite_id LIMIT $3`,
      [page.after ?? null, page.roundId ?? null, page.limit],
    );
    return {
      items: rows.map(viewOf),
      next: rows.length < page.limit ? null : (rows.at(-1)?.suite_id ?? null),
    };
  }

  /** Once: the fact that it is released goes out with the first call only. */
  async release(
    caller: PersonPrincipal,
    suiteId: string,
    reason: string,
  ): Promise<Result<AdoptedSuiteView, Refusal>> {
    return this.transactor.run(async (tx) => {
      const released = await tx.row<AdoptedSuiteRecord>(
        `UPDATE governance.adopted_suite SET state = 'released', released_at = now()
         WHERE suite_id = $1 AND state = 'reserved' RETURNING ${columns}`,
        [suiteId],
      );
      if (released !== undefined) {
        await tx.record('suite.released', { suiteId });
        await tx.audit({
          actor: caller.personId,
          action: 'suite.release',
          subject: suiteId,
          details: { reason },
        });
        return ok(viewOf(released));
      }
      const there = await tx.row<AdoptedSuiteRecord>(
        `SELECT ${columns} FROM governance.adopted_suite WHERE suite_id = $1`,
        [suiteId],
      );
      if (there !== undefined) return ok(viewOf(there));
      return err(problem('resource.not-found', `No round adopted a suite ${suiteId}`));
    });
  }
}

function viewOf(row: AdoptedSuiteRecord): AdoptedSuiteView {
  return {
    suiteId: row.suite_id,
    roundId: row.round_id,
    proposalId: row.proposal_id,
    labId: row.lab_id,
    title: row.title,
    gpuType: row.gpu_type,
    gpuSeconds: Number(row.gpu_seconds),
    state: row.state,
    design: suiteDesignSchema.parse(row.design),
    adoptedAt: row.adopted_at.toISOString(),
    releasedAt: row.released_at?.toISOString() ?? null,
  };
}
