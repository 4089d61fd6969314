import {
  createRound,
  exportAudit,
  getCertificate,
  getPabulib,
  getReport,
  getResult,
  listBallots,
  listRoundEvents,
  listRounds,
} from '@beamtime/contracts';
import {
  matchElection,
  PabulibReader,
  pabulibTallyInput,
  verifyCertificate,
} from '@beamtime/governance/tally';
import { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Consortium, codeOf, type LabForTest } from './consortium.js';

let consortium: Consortium;
let labs: [LabForTest, LabForTest, LabForTest];
beforeAll(async () => {
  consortium = await Consortium.open();
  labs = [await consortium.lab('lab-a'), await consortium.lab('lab-b'), await consortium.lab('lab-c')];
});
afterAll(() => consortium.close());

describe('a round from its plan to its decision', () => {
  it('shares out the pledged GPU time and publishes a certificate that verifies', async () => {
    const [a, b, c] = labs;
    const planned = await consortium.round();
    const { roundId } = planned;
    const params = { roundId };
    await consortium.pledge(planned, a, 2_000);
    await consortium.pledge(planned, b, 2_000);
    await consortium.pledge(planned, c, 1_000);
    await consortium.move(planned, 'proposing');
    const one = await consortium.proposeSuite(planned, a, 'suite-one', { models: 2 });
    const two = await consortium.proposeSuite(planned, b, 'suite-two', { models: 2 });
    const three = await consortium.proposeSuite(planned, c, 'suite-three', { models: 3 });
    const four = await consortium.proposeSuite(planned, c, 'suite-four', { models: 1 });
    await consortium.move(planned, 'deliberating');
    const opened = await consortium.move(planned, 'voting');
    expect(opened.budgets).toEqual([{ gpuType: 'any', gpuSeconds: 5_000 }]);
    expect(opened.frozen?.voters).toBe(3);
    await consortium.vote(a.delegate, planned, { kind: 'approval', approve: [one, two] });
    await consortium.vote(b.delegate, planned, { kind: 'approval', approve: [two, one] });
    await consortium.vote(c.delegate, planned, { kind: 'approval', approve: [four] });
    expect(await codeOf(consortium.anonymous.call(listBallots, { params }))).toBe(
      'governance.ballots-secret',
    );
    expect(await codeOf(consortium.anonymous.call(getResult, { params }))).toBe('governance.not-decided');
    await consortium.move(planned, 'counting');
    const decided = await consortium.decided(planned);

    const result = await consortium.anonymous.call(getResult, { params });
    expect(result.outcome).toBe('adopted');
    expect(new Set(result.winners.map((winner) => winner.proposalId))).toEqual(new Set([one, two, four]));
    expect(result.losers).toEqual([
      { proposalId: three, kind: 'suite', title: 'Suite suite-three', reason: 'Nobody supported it' },
    ]);
    expect(result.budgets).toEqual([{ gpuType: 'any', gpuSeconds: 5_000, spentGpuSeconds: 5_000 }]);
    expect(result.certificateSha256).toBe(decided.certificateSha256);

    const response = await consortium.anonymous.raw(getCertificate, { params });
    const certificate = JSON.parse(await response.text()) as Parameters<typeof verifyCertificate>[0];
    expect(verifyCertificate(certificate)).toEqual({ valid: true });

    const reader = new PabulibReader();
    reader.push(await (await consortium.anonymous.raw(getPabulib, { params })).text());
    const election = reader.finish();
    expect(election.ok).toBe(true);
    if (!election.ok) return;
    const greedy = { name: 'greedy', utility: 'cost', skip: true } as const;
    expect(matchElection(certificate, pabulibTallyInput(election.value, greedy, ''))).toEqual({
      valid: true,
    });
    const report = await consortium.anonymous.raw(getReport, { params });
    expect(report.headers.get('content-type')).toMatch(/^text\/html/);
    const page = await report.text();
    // Lab lab-c alone wanted suite-four and paid all of it: 1000 seconds.
    expect(page).toMatch(/<tr><td>Lab lab-c<\/td>.*>0\.278 GPU-hours<\/td><\/tr>/);
    expect(page).toContain('What would have won under other rules');
    expect(page).toContain('Nobody supported it');
    expect(page).toContain('Phragmén');
    expect(page).not.toMatch(/<script|https?:/);

    const ballots = await consortium.anonymous.call(listBallots, { params });
    expect(ballots.total).toBe(3);
    expect(ballots.items.map((ballot) => ballot.voterId)).toEqual([a.labId, b.labId, c.labId].sort());
    expect(ballots.items.every((ballot) => ballot.assurance === 'local' && ballot.chain.length === 1)).toBe(
      true,
    );

    const { events } = await consortium.anonymous.call(listRoundEvents, { params });
    expect(events.map((event) => event.to)).toEqual([
      'planned',
      'proposing',
      'deliberating',
      'voting',
      'counting',
      'decided',
    ]);
    expect(events.every((event) => event.actor !== '')).toBe(true);
  });

  it('records who did what in the audit log, without the ballots', async () => {
    const { entries } = await consortium.anonymous.call(exportAudit, {});
    const actions = entries.map((entry) => entry.action);
    expect(actions).toContain('round.decided');
    expect(actions.filter((action) => action.startsWith('ballot'))).toEqual([]);
  });

  it('is planned by the secretariat only', async () => {
    const body = { title: 'Mine' };
    expect(await codeOf(labs[0].delegate.api.call(createRound, { body }))).toBe('auth.forbidden');
    expect(await codeOf(consortium.anonymous.call(createRound, { body }))).toBe('auth.required');
  });

  it('is listed for everybody, the newest first', async () => {
    const newest = await consortium.round();
    const { items, next } = await consortium.anonymous.call(listRounds, { query: { limit: 1 } });
    expect(items.map((round) => round.roundId)).toEqual([newest.roundId]);
    const older = await consortium.anonymous.call(listRounds, {
      query: { limit: 10, after: next ?? undefined },
    });
    expect(older.items).toHaveLength(1);
  });
});

describe('the service', () => {
  it('keeps a database that its entities mirror', async () => {
    const pending = await consortium.service.app.get(DataSource).driver.createSchemaBuilder().log();
    const mine = pending.upQueries.map(({ query }) => query).filter((query) => query.includes('governance'));
    expect(mine).toEqual([]);
  });

  it('asks whoever is nobody to log in, on every endpoint that is not public', async () => {
    const governance = consortium.service.specs.filter(({ id }) =>
      /^(rounds|pledges|proposals|ballots|deputies|policies|adopted-suites)\./.test(id),
    );
    expect(governance.length).toBeGreaterThan(30);
    for (const spec of governance) {
      const path = spec.path.replace(/:[A-Za-z]+/g, 'nobody');
      const response = await fetch(consortium.service.url + path, { method: spec.method });
      const asked = response.status === 401;
      expect([spec.id, asked, response.status < 500]).toEqual([spec.id, spec.access.kind !== 'public', true]);
    }
  });

  it('says that a thing does not exist, whichever endpoint is asked about it', async () => {
    const unknown = { roundId: 'rnd', proposalId: 'prp', policyId: 'pol' } as const;
    const readers = consortium.service.specs.filter(
      ({ id, method, path }) =>
        method === 'GET' && path.includes(':') && /^(rounds|pledges|proposals|ballots|policies)\./.test(id),
    );
    expect(readers.length).toBeGreaterThan(12);
    for (const spec of readers) {
      const path = spec.path.replace(
        /:([A-Za-z]+)/g,
        (_, name: keyof typeof unknown) => `${unknown[name]}_${'0'.repeat(26)}`,
      );
      const response = await fetch(consortium.service.url + path, {
        headers: { authorization: `Bearer ${consortium.secretariat.token}` },
      });
      const { code } = (await response.json()) as { code: string };
      expect([spec.id, code]).toEqual([spec.id, 'resource.not-found']);
    }
  });

  it('keeps idle connections for longer than clients and proxies do, so that none sends on one being closed', async () => {
    const response = await fetch(consortium.service.url + listRounds.path);
    expect(response.headers.get('keep-alive')).toBe('timeout=75');
  });

  it('lets only those in whose role an endpoint names', async () => {
    const roleBound = consortium.service.specs.flatMap((spec) =>
      spec.access.kind === 'person' &&
      spec.access.roles !== undefined &&
      /^(rounds|pledges|adopted)/.test(spec.id)
        ? [{ ...spec, roles: spec.access.roles }]
        : [],
    );
    expect(roleBound.length).toBeGreaterThan(7);
    const people = [consortium.secretariat, labs[0].delegate, labs[0].researcher];
    for (const spec of roleBound) {
      for (const { token, principal } of people) {
        const response = await fetch(consortium.service.url + spec.path.replace(/:[A-Za-z]+/g, 'nobody'), {
          method: spec.method,
          headers: { authorization: `Bearer ${token}` },
        });
        const admitted = principal.memberships.some(({ role }) => spec.roles.includes(role));
        expect([spec.id, response.status]).toEqual([spec.id, admitted ? 400 : 403]);
      }
    }
  });
});
