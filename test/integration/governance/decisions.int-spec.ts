import { catalogueConsumer } from '@beamtime/catalogue';
import {
  amendCharter,
  amendProposal,
  analyseProposal,
  type CharterInput,
  changeLab,
  commentOnProposal,
  createProposal,
  estimateSuite,
  getCertificate,
  getPabulib,
  getPolicy,
  getProposal,
  getReport,
  getResult,
  listComments,
  listPolicies,
  listProposals,
  listProposalVersions,
  type ProposalBody,
  type SuiteDesign,
  suiteDesignSchema,
  withdrawProposal,
} from '@beamtime/contracts';
import { type DecisionRecord, verifyDecision } from '@beamtime/governance/tally';
import { newId } from '@beamtime/platform';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Consortium, codeOf, designOf, type LabForTest } from './consortium.js';

let consortium: Consortium;
let a: LabForTest;
let b: LabForTest;
let c: LabForTest;
beforeAll(async () => {
  consortium = await Consortium.open();
  a = await consortium.lab('lab-a', 5);
  b = await consortium.lab('lab-b', 5);
  c = await consortium.lab('lab-c', 1);
});
afterAll(() => consortium.close());

type Round = Awaited<ReturnType<Consortium['round']>>;
async function propose(round: Round, lab: LabForTest, title: string, body: ProposalBody): Promise<string> {
  const made = await lab.researcher.api.call(createProposal, {
    params: { roundId: round.roundId },
    body: { labId: lab.labId, title, body },
  });
  return made.proposalId;
}
const embargo = (days: number, replaces: string[] = []): ProposalBody => ({
  kind: 'policy',
  rule: { kind: 'embargo', days, models: { languages: ['spa'] }, exceptLabs: [] },
  replaces,
});

describe('a policy', () => {
  async function adopt(body: ProposalBody): Promise<string> {
    const round = await consortium.round({ rule: { name: 'double-majority' }, deliberation: false });
    await consortium.move(round, 'proposing');
    const proposalId = await propose(round, a, 'Embargo on Spanish models', body);
    await consortium.move(round, 'voting');
    for (const lab of [a, b, c]) {
      await consortium.vote(lab.delegate, round, { kind: 'yes-no', votes: { [proposalId]: 'yes' } });
    }
    await consortium.move(round, 'counting');
    await consortium.decided(round);
    const proposal = await consortium.anonymous.call(getProposal, { params: { proposalId } });
    expect(proposal.state).toBe('adopted');
    return proposal.policyId ?? '';
  }
  const factsOf = async (policyId: string): Promise<unknown[]> =>
    consortium.transactor.do((tx) =>
      tx.rows(
        `SELECT type, payload->'rule' AS rule FROM platform.outbox WHERE payload->>'policyId' = $1 ORDER BY id`,
        [policyId],
      ),
    );

  it('is in force from its adoption, goes out as a fact, and ends when another replaces it', async () => {
    const first = await adopt(embargo(30));
    const shown = await consortium.anonymous.call(getPolicy, { params: { policyId: first } });
    expect(shown).toMatchObject({ state: 'in-force', rule: { kind: 'embargo', days: 30 } });
    expect(await factsOf(first)).toMatchObject([{ type: 'policy.adopted', rule: { days: 30 } }]);
    const second = await adopt(embargo(60, [first]));
    const { policies } = await consortium.anonymous.call(listPolicies, {});
    expect(policies.map(({ policyId }) => policyId)).toEqual([second]);
    expect(await factsOf(first)).toMatchObject([{ type: 'policy.adopted' }, { type: 'policy.ended' }]);
    const all = await consortium.anonymous.call(listPolicies, { query: { inForce: 'false' } });
    expect(all.policies).toHaveLength(2);
  });

  it('whose rule no program could follow is refused', async () => {
    const round = await consortium.round({ rule: { name: 'double-majority' }, deliberation: false });
    await consortium.move(round, 'proposing');
    const rule = { kind: 'be-nice', models: {} } as unknown as { kind: 'embargo'; days: number };
    const body = { kind: 'policy', rule, replaces: [] } as unknown as ProposalBody;
    expect(await codeOf(propose(round, a, 'Be nice', body))).toBe('request.invalid');
  });
});

describe('a charter', () => {
  it('is not amended so that a proposal which stands already could not be decided', async () => {
    const round = await consortium.round({ rule: { name: 'schulze' } });
    await consortium.move(round, 'proposing');
    await propose(round, a, 'Charter X', { kind: 'motion', text: 'X' });
    const amend = (charter: CharterInput) =>
      consortium.secretariat.api.call(amendCharter, {
        params: { roundId: round.roundId },
        body: { charter, reason: 'Second thoughts' },
      });
    expect(await codeOf(amend({ rule: { name: 'greedy' } }))).toBe('governance.invalid-charter');
    const amended = await amend({ rule: { name: 'double-majority', quorum: 2 } });
    expect(amended.charter.rule).toEqual({ name: 'double-majority', quorum: 2 });
  });
});

describe('a double majority', () => {
  it('weighs labs by contribution, counts each once, and bars a lab that was in arrears at the opening', async () => {
    await consortium.secretariat.api.call(changeLab, { params: { lab: 'lab-b' }, body: { inArrears: true } });
    const round = await consortium.round({ rule: { name: 'double-majority' }, deliberation: false });
    await consortium.move(round, 'proposing');
    const question = await propose(round, a, 'Admit lab-d', { kind: 'motion', text: 'Lab D joins.' });
    await consortium.move(round, 'voting');
    await consortium.secretariat.api.call(changeLab, {
      params: { lab: 'lab-b' },
      body: { inArrears: false },
    });
    const yes = { kind: 'yes-no' as const, votes: { [question]: 'yes' as const } };
    expect(await codeOf(consortium.vote(b.delegate, round, yes))).toBe('governance.in-arrears');
    await consortium.vote(a.delegate, round, yes);
    await consortium.vote(c.delegate, round, { kind: 'yes-no', votes: { [question]: 'no' } });
    await consortium.move(round, 'counting');
    await consortium.decided(round);
    const result = await consortium.anonymous.call(getResult, { params: { roundId: round.roundId } });
    expect(result.winners).toEqual([]);
    expect(result.losers[0]?.reason).toBe(
      '1 of 2 labs and 5 of 6 contributions for it: fewer than two thirds of the labs',
    );
  });
});

describe('a flagship', () => {
  it('is decided by double majority before the rest is shared out, without the labs in arrears', async () => {
    await consortium.secretariat.api.call(changeLab, { params: { lab: 'lab-c' }, body: { inArrears: true } });
    const round = await consortium.round({ flagship: true, deliberation: false });
    const params = { roundId: round.roundId };
    for (const lab of [a, b, c]) await consortium.pledge(round, lab, 3_000);
    await consortium.move(round, 'proposing');
    const big = await consortium.proposeSuite(round, a, 'suite-big', { models: 6, more: { flagship: true } });
    const one = await consortium.proposeSuite(round, b, 'suite-one', { models: 2 });
    const two = await consortium.proposeSuite(round, c, 'suite-two', { models: 1 });
    await consortium.move(round, 'voting');
    await consortium.secretariat.api.call(changeLab, {
      params: { lab: 'lab-c' },
      body: { inArrears: false },
    });
    const ballot = (ids: string[], vote?: 'yes' | 'no') => ({
      kind: 'approval' as const,
      approve: ids,
      ...(vote === undefined ? {} : { flagship: { [big]: vote } }),
    });
    await consortium.vote(a.delegate, round, ballot([big], 'yes'));
    await consortium.vote(b.delegate, round, ballot([one], 'yes'));
    expect(await codeOf(consortium.vote(c.delegate, round, ballot([two], 'no')))).toBe(
      'governance.in-arrears',
    );
    // In the sharing out of the rest it has its vote all the same.
    await consortium.vote(c.delegate, round, ballot([two]));
    await consortium.move(round, 'counting');
    await consortium.decided(round);
    const result = await consortium.anonymous.call(getResult, { params });
    expect(result.winners[0]).toMatchObject({ proposalId: big, how: 'flagship', order: 1 });
    expect(
      result.winners
        .slice(1)
        .map(({ proposalId }) => proposalId)
        .sort(),
    ).toEqual([one, two].sort());
    expect(result.budgets).toEqual([{ gpuType: 'any', gpuSeconds: 9_000, spentGpuSeconds: 9_000 }]);
    const page = await (await consortium.anonymous.raw(getReport, { params })).text();
    const [, flagship] = /<h2>The flagship<\/h2>([\s\S]*?)<\/table>/.exec(page) ?? [];
    expect(flagship).toContain('suite-big');
  });

  it('is no flagship where the charter decides none, and only a suite can be one', async () => {
    const round = await consortium.round({ deliberation: false });
    await consortium.pledge(round, a, 3_000);
    await consortium.move(round, 'proposing');
    const candidate = consortium.proposeSuite(round, a, 'suite-big', { more: { flagship: true } });
    expect(await codeOf(candidate)).toBe('governance.invalid-proposal');
    expect(await codeOf(consortium.round({ flagship: true, voters: 'members' }))).toBe(
      'governance.invalid-charter',
    );
  });
});

describe('a single-winner round', () => {
  it('elects what beats every other option and "none of these"', async () => {
    const round = await consortium.round({ rule: { name: 'schulze', quorum: 2 } });
    const params = { roundId: round.roundId };
    await consortium.move(round, 'proposing');
    const x = await propose(round, a, 'Charter X', { kind: 'motion', text: 'X' });
    const y = await propose(round, b, 'Charter Y', { kind: 'motion', text: 'Y' });
    await consortium.move(round, 'deliberating');
    await consortium.move(round, 'voting');
    await consortium.vote(a.delegate, round, { kind: 'ranking', ranking: [[x], [y]] });
    await consortium.vote(b.delegate, round, { kind: 'ranking', ranking: [[x, y], ['none']] });
    await consortium.vote(c.delegate, round, { kind: 'ranking', ranking: [['none'], [x]] });
    await consortium.move(round, 'counting');
    await consortium.decided(round);
    const result = await consortium.anonymous.call(getResult, { params });
    expect(result.winners.map(({ proposalId }) => proposalId)).toEqual([x]);
    const certificate: unknown = JSON.parse(
      await (await consortium.anonymous.raw(getCertificate, { params })).text(),
    );
    expect(certificate).toMatchObject({ format: 'beamtime-single-winner/1', outcome: { winner: x } });
    expect(verifyDecision(certificate as DecisionRecord)).toMatchObject({ valid: true });
    const page = await (await consortium.anonymous.raw(getReport, { params })).text();
    expect(page).toContain('Charter X');
    expect(page).not.toMatch(/<script|https?:/);
    expect(await codeOf(consortium.anonymous.raw(getPabulib, { params }))).toBe(
      'governance.not-a-budget-vote',
    );
  });

  it('adopts nothing below its quorum', async () => {
    const round = await consortium.round({ rule: { name: 'schulze', quorum: 2 }, deliberation: false });
    await consortium.move(round, 'proposing');
    const x = await propose(round, a, 'Charter X', { kind: 'motion', text: 'X' });
    await consortium.move(round, 'voting');
    await consortium.vote(a.delegate, round, { kind: 'ranking', ranking: [[x]] });
    await consortium.move(round, 'counting');
    await consortium.decided(round);
    const result = await consortium.anonymous.call(getResult, { params: { roundId: round.roundId } });
    expect(result).toMatchObject({
      outcome: 'nothing-adopted',
      losers: [{ proposalId: x, reason: 'A vote of 1 above none of these is below the quorum' }],
    });
  });
});

describe('deliberation', () => {
  it('amends a proposal with its history visible, and lets nobody amend unseen changes', async () => {
    const round = await consortium.round();
    await consortium.pledge(round, a, 5_000);
    await consortium.move(round, 'proposing');
    const proposalId = await consortium.proposeSuite(round, a, 'suite-one', { models: 2 });
    await consortium.move(round, 'deliberating');
    const amend = (lab: LabForTest['delegate'], models: number, basedOnVersion?: number) =>
      lab.api.call(amendProposal, {
        params: { proposalId },
        body: {
          body: { kind: 'suite', design: designOf('suite-one', { models }) },
          note: `${models} models`,
          basedOnVersion,
        },
      });
    expect((await amend(a.researcher, 3, 1)).version).toBe(2);
    expect(await codeOf(amend(a.delegate, 4, 1))).toBe('state.conflict');
    expect((await amend(a.delegate, 4, 2)).gpuSeconds).toBe(4_000);
    expect(await codeOf(amend(b.delegate, 1))).toBe('auth.forbidden');
    expect(await codeOf(amend(a.researcher, 6))).toBe('governance.over-budget');
    const { versions } = await consortium.anonymous.call(listProposalVersions, { params: { proposalId } });
    expect(versions.map(({ version, note, gpuSeconds, by }) => [version, note, gpuSeconds, by])).toEqual([
      [1, 'First version', 2_000, a.researcher.personId],
      [2, '3 models', 3_000, a.researcher.personId],
      [3, '4 models', 4_000, a.delegate.personId],
    ]);
  });

  it('keeps the discussion with the version that was discussed, until the vote opens', async () => {
    const round = await consortium.round();
    await consortium.pledge(round, a, 5_000);
    await consortium.move(round, 'proposing');
    const proposalId = await consortium.proposeSuite(round, a, 'suite-one');
    const params = { proposalId };
    await consortium.move(round, 'deliberating');
    const first = await b.researcher.api.call(commentOnProposal, {
      params,
      body: { text: 'Why no third seed?' },
    });
    await a.researcher.api.call(commentOnProposal, {
      params,
      body: { text: 'It would not fit.', inReplyTo: first.commentId },
    });
    expect(
      await codeOf(
        a.researcher.api.call(commentOnProposal, { params, body: { text: 'x', inReplyTo: 999_999 } }),
      ),
    ).toBe('resource.not-found');
    const stranger = await consortium.person('stranger@example.org', []);
    expect(await codeOf(stranger.api.call(commentOnProposal, { params, body: { text: 'Hello' } }))).toBe(
      'auth.forbidden',
    );
    await consortium.move(round, 'voting');
    expect(await codeOf(b.researcher.api.call(commentOnProposal, { params, body: { text: 'Late' } }))).toBe(
      'governance.round-not-open',
    );
    const { comments } = await b.researcher.api.call(listComments, { params });
    expect(comments.map(({ text, version, inReplyTo }) => [text, version, inReplyTo])).toEqual([
      ['Why no third seed?', 1, null],
      ['It would not fit.', 1, first.commentId],
    ]);
  });

  it('takes a withdrawn proposal off the ballot', async () => {
    const round = await consortium.round({ deliberation: false });
    await consortium.pledge(round, a, 5_000);
    await consortium.move(round, 'proposing');
    const kept = await consortium.proposeSuite(round, a, 'suite-kept');
    const gone = await consortium.proposeSuite(round, b, 'suite-gone');
    const withdraw = (api = b.researcher.api) =>
      api.call(withdrawProposal, { params: { proposalId: gone }, body: { reason: 'Merged' } });
    expect(await codeOf(withdraw(a.researcher.api))).toBe('auth.forbidden');
    expect((await withdraw()).state).toBe('withdrawn');
    expect(await codeOf(withdraw())).toBe('governance.round-not-open');
    await consortium.move(round, 'voting');
    expect(await codeOf(consortium.vote(a.delegate, round, { kind: 'approval', approve: [gone] }))).toBe(
      'governance.invalid-ballot',
    );
    await consortium.vote(a.delegate, round, { kind: 'approval', approve: [kept] });
    const { items } = await consortium.anonymous.call(listProposals, { params: { roundId: round.roundId } });
    expect(items.map(({ state }) => state)).toEqual(['open', 'withdrawn']);
  });

  it('is for people of the consortium: a proposal needs a lab that one belongs to', async () => {
    const round = await consortium.round();
    await consortium.pledge(round, a, 5_000);
    const early = consortium.proposeSuite(round, a, 'suite-early');
    expect(await codeOf(early)).toBe('governance.round-not-open');
    await consortium.move(round, 'proposing');
    const foreign = b.researcher.api.call(createProposal, {
      params: { roundId: round.roundId },
      body: { labId: a.labId, body: { kind: 'suite', design: designOf('suite-foreign') } },
    });
    expect(await codeOf(foreign)).toBe('auth.forbidden');
  });
});

describe('what a suite would mean', () => {
  it('is shown at once: cost, storage, questions, confounded factors, holes of the landscape', async () => {
    const round = await consortium.round();
    await consortium.pledge(round, a, 50_000);
    await consortium.move(round, 'proposing');
    const languages = ['eng', 'deu'].map((name) => ({
      name,
      language: name,
      script: 'Latn',
      corpusId: name,
    }));
    const proposalId = await consortium.proposeSuite(round, a, 'suite-grid', {
      models: 2,
      design: {
        factors: { ...designOf('suite-grid', { models: 2 }).factors, language: languages, steps: [2, 4] },
        exclude: [
          { language: 'eng', steps: 2 },
          { language: 'deu', steps: 4 },
        ],
      },
    });
    const analysis = await consortium.anonymous.call(analyseProposal, { params: { proposalId } });
    expect(analysis).toMatchObject({ models: 4, gpuSeconds: 4_000, utilisation: { source: 'assumed' } });
    expect(analysis.questions.map(({ factor }) => factor)).toEqual(['initialisationSeed']);
    expect(analysis.confounded.map(({ factors }) => factors)).toEqual([
      ['language', 'steps'],
      ['steps', 'language'],
    ]);
    expect(analysis.landscape.map(({ language, added, fillsHole }) => [language, added, fillsHole])).toEqual([
      ['eng', 2, true],
      ['deu', 2, true],
    ]);
    expect(analysis.checkpointBytes).toBeGreaterThan(0);
    const { design } = { design: designOf('another') };
    expect((await a.researcher.api.call(estimateSuite, { body: { design } })).models).toBe(2);
  });

  /** Models as the catalogue would have them after a round. */
  async function train(design: SuiteDesign, gpuSeconds: number): Promise<void> {
    await consortium.transactor.do(async (tx) => {
      const suiteId = newId('Suite');
      const fact = {
        roundId: newId('Round'),
        certificateSha256: '0'.repeat(64),
        decidedAt: new Date().toISOString(),
        adopted: [
          { proposalId: newId('Proposal'), suiteId, labId: a.labId, title: 'x', gpuSeconds: 1, design },
        ],
      };
      await catalogueConsumer.handlers['round.decided']?.(
        { eventId: 'evt', type: 'round.decided', payload: fact, createdAt: new Date() },
        tx,
      );
      await tx.changed(`UPDATE catalogue.model SET state = 'ready', gpu_seconds = $2 WHERE suite_id = $1`, [
        suiteId,
        gpuSeconds,
      ]);
    });
  }

  it('counts the models that the catalogue has, and uses what finished runs made of this GPU type', async () => {
    const design = (name: string) =>
      suiteDesignSchema.parse({
        ...designOf(name),
        resources: {
          gpuType: 'h100',
          overheadSecondsPerModel: 10,
          gpuPeakFlops: 1e6,
          utilisation: 0.5,
          maxSecondsPerModel: 1e6,
        },
      });
    const before = await a.researcher.api.call(estimateSuite, { body: { design: design('measured-a') } });
    expect(before.utilisation).toEqual({ value: 0.5, source: 'assumed' });
    const trainingSeconds = before.gpuSeconds / before.models - 10;
    // The runs took four times as long as was assumed: an eighth of the peak.
    await train(design('measured-a'), Math.round(4 * trainingSeconds) + 10);
    const after = await a.researcher.api.call(estimateSuite, { body: { design: design('measured-b') } });
    expect(after.utilisation.source).toBe('measured');
    expect(after.utilisation.value).toBeCloseTo(0.125, 3);
    expect(after.gpuSeconds / after.models - 10).toBeGreaterThan(3.9 * trainingSeconds);
    expect(after.landscape).toMatchObject([{ language: 'eng', existing: 2, added: 2, fillsHole: false }]);
  });
});
