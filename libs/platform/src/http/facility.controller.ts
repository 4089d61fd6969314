import { exportAudit, health, type InputOf, metrics, type ResponseOf } from '@beamtime/contracts';
import { Controller, Inject, Res } from '@nestjs/common';
import type { Response } from 'express';
import { readAudit } from '../audit/seal-audit.js';
import { Transactor } from '../database/transactor.js';
import { Metrics } from '../observability/metrics.js';
import { Endpoint, Input } from './endpoint.decorator.js';

/** A named check of something the service depends on. */
export type HealthCheck = { readonly name: string; readonly check: () => Promise<boolean> };
export const HEALTH_CHECKS = Symbol('HealthChecks');
export const VERSION = Symbol('Version');
/** A check that hangs is a failed one. */
const checkTimeoutMs = 2_000;

@Controller()
export class FacilityController {
  constructor(
    @Inject(HEALTH_CHECKS) private readonly checks: readonly HealthCheck[],
    @Inject(VERSION) private readonly version: string,
    @Inject(Metrics) private readonly metrics: Metrics,
    @Inject(Transactor) private readonly transactor: Transactor,
  ) {}

  @Endpoint(health)
  async health(@Res({ passthrough: true }) response: Response): Promise<ResponseOf<typeof health>> {
    const outcomes = await Promise.all(
      this.checks.map(async ({ name, check }) => {
        const timeout = new Promise<boolean>((resolve) => setTimeout(resolve, checkTimeoutMs, false).unref());
        const works = await Promise.race([check().catch(() => false), timeout]);
        return [name, works ? 'ok' : 'failed'] as const;
      }),
    );
    const degraded = outcomes.some(([, state]) => state === 'failed');
    if (degraded) response.status(503);
    return {
      status: degraded ? 'degraded' : 'ok',
      version: this.version,
      checks: Object.fromEntries(outcomes),
    };
  }

  @Endpoint(metrics)
  async scrape(@Res() response: Response): Promise<void> {
    response.type(this.metrics.registry.contentType).send(await this.metrics.registry.metrics());
  }

  @Endpoint(exportAudit)
  async audit(@Input() input: InputOf<typeof exportAudit>): Promise<ResponseOf<typeof exportAudit>> {
    return { entries: await readAudit(this.transactor, input.query.afterSeq, input.query.limit) };
  }
}
