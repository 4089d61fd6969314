import { Inject, Injectable } from '@nestjs/common';
import { Gauge } from 'prom-client';
import { Transactor } from '../database/transactor.js';
import { Metrics } from './metrics.js';

/** What operators watch of the platform, read from the database when Prometheus asks: each is one indexed query. */
@Injectable()
export class PlatformGauges {
  constructor(@Inject(Metrics) metrics: Metrics, @Inject(Transactor) transactor: Transactor) {
    const gauge = (name: string, help: string, sql: string): void => {
      new Gauge({
        name,
        help,
        registers: [metrics.registry],
        async collect() {
          // While the database is away the rest is still to be seen; /health tells that it is.
          const row = await transactor.read.row<{ value: string }>(sql).catch(() => undefined);
          this.set(row === undefined ? Number.NaN : Number(row.value));
        },
      });
    };
    gauge(
      'beamtime_outbox_lag_seconds',
      'Age of the oldest fact that some consumer has not seen',
      `SELECT COALESCE(EXTRACT(EPOCH FROM now() - min(o.created_at)), 0) AS value FROM platform.outbox_cursor c
       CROSS JOIN LATERAL (SELECT created_at FROM platform.outbox WHERE (xid, id) > (c.xid, c.id) ORDER BY xid, id LIMIT 1) o`,
    );
    gauge(
      'beamtime_outbox_parked_facts',
      'Facts that a consumer could not handle: somebody has to look',
      'SELECT count(*) AS value FROM platform.outbox_parked',
    );
    gauge(
      'beamtime_audit_unsealed_entries',
      'Audit entries that are not linked into the hash chain yet',
      `SELECT count(*) AS value FROM platform.audit_entry e WHERE (e.xid, e.id) > COALESCE(
         (SELECT (l.xid, l.id) FROM platform.audit_chain c JOIN platform.audit_entry l ON l.id = c.entry_id
          ORDER BY c.seq DESC LIMIT 1), (0::bigint, 0::bigint))`,
    );
  }
}
