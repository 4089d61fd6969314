import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  amendProposal,
  analyseProposal,
  castBallot,
  closeRound,
  commentOnProposal,
  createProposal,
  createRound,
  deliberateRound,
  estimateSuite,
  getCertificate,
  getReport,
  getResult,
  getRound,
  openProposals,
  openVote,
  ProblemError,
  type ProposalView,
  pledge,
  type RoundResult,
} from '@beamtime/contracts';
import { type DemoCorpora, parallelSuite, rivalSuites } from '../demo-suites.js';
import type { DesignInput, Lab, Person, World } from '../world.js';

/** GPU-seconds that each lab pledges; together less than the proposals cost. */
const budgetOverSuite = 1.55;
const pledgeShares = [0.5, 0.3, 0.2] as const;
const countTimeoutMs = 30_000;

/** Who approves which proposal, by index of the proposals: the parallel suite has the broadest support. */
const approvals: readonly {
  readonly lab: number;
  readonly role: 'delegate' | 'reviewer' | 'researcher';
  readonly of: readonly number[];
}[] = [
  { lab: 0, role: 'delegate', of: [0, 2] },
  { lab: 0, role: 'reviewer', of: [0, 1] },
  { lab: 0, role: 'researcher', of: [0, 3] },
  { lab: 1, role: 'delegate', of: [0, 1] },
  { lab: 1, role: 'reviewer', of: [0] },
  { lab: 1, role: 'researcher', of: [0, 1] },
  { lab: 2, role: 'delegate', of: [0, 2] },
  { lab: 2, role: 'reviewer', of: [3, 4] },
  { lab: 2, role: 'researcher', of: [2, 4] },
];

export interface DecidedRound {
  readonly roundId: string;
  readonly suiteId: string;
  readonly proposalId: string;
  readonly ballotId: string;
  readonly certificatePath: string;
  readonly result: RoundResult;
  readonly design: DesignInput;
}

/** One collective decision, from pledges to a certificate that anyone can check. */
export async function decideRound(world: World, corpora: DemoCorpora, steps: number): Promise<DecidedRound> {
  const { narrator, secretariat, runName } = world;
  narrator.chapter('A round: which suites to train');
  const suiteName = `parallel-${runName}`;
  const design = parallelSuite(suiteName, corpora, steps);
  const round = await secretariat.api.call(createRound, {
    body: {
      title: `Small controlled suites (${runName})`,
      charter: {
        rule: { name: 'equal-shares', utility: 'cost', completion: 'add1' },
        voters: 'members',
        memberRoles: ['delegate', 'reviewer', 'researcher'],
      },
    },
  });
  const params = { roundId: round.roundId };
  await secretariat.api.call(openProposals, { params, body: {} });
  const mainCost = await pledgeBudget(world, params.roundId, design);
  const proposals = await propose(world, params.roundId, [design, ...rivalSuites(suiteName, corpora, steps)]);
  await refuseTheUnaffordable(world, params.roundId, design);
  await deliberate(world, params.roundId, proposals);
  await secretariat.api.call(openVote, { params, body: {} });
  const ballotId = await vote(world, params.roundId, proposals);
  await secretariat.api.call(closeRound, { params, body: {} });
  const result = await awaitResult(world, params.roundId);
  narrator.table(
    ['adopted', 'GPU-seconds', 'why'],
    result.winners.map((w) => [w.title, String(w.gpuSeconds ?? ''), w.reason]),
  );
  narrator.table(
    ['not adopted', 'why'],
    result.losers.map((l) => [l.title, l.reason]),
  );
  const winner = result.winners.find((w) => w.proposalId === proposals[0]?.proposalId);
  if (winner === undefined || winner.suiteId === null)
    throw new Error(`the parallel suite was not adopted (cost ${mainCost})`);
  const certificatePath = await checkCertificate(world, params.roundId);
  world.report['round'] = { roundId: params.roundId, result, ballotId };
  return {
    roundId: params.roundId,
    suiteId: winner.suiteId,
    proposalId: winner.proposalId,
    ballotId,
    certificatePath,
    result,
    design,
  };
}

async function pledgeBudget(world: World, roundId: string, design: DesignInput): Promise<number> {
  const estimate = await world.labs[0]?.delegate.api.call(estimateSuite, { body: { design } });
  const cost = estimate?.gpuSeconds ?? 0;
  const budget = Math.round(cost * budgetOverSuite);
  for (const [i, lab] of world.labs.entries()) {
    const gpuSeconds = Math.round(budget * (pledgeShares[i] ?? 0));
    await lab.delegate.api.call(pledge, { params: { roundId }, body: { labId: lab.labId, gpuSeconds } });
    world.narrator.fact(`${lab.name} pledges`, `${gpuSeconds} GPU-seconds`);
  }
  return cost;
}

async function propose(
  world: World,
  roundId: string,
  designs: readonly DesignInput[],
): Promise<ProposalView[]> {
  const proposals: ProposalView[] = [];
  for (const [i, design] of designs.entries()) {
    const lab = world.labs[i % world.labs.length] as Lab;
    proposals.push(
      await lab.researcher.api.call(createProposal, {
        params: { roundId },
        body: { labId: lab.labId, body: { kind: 'suite', design } },
      }),
    );
  }
  const analyses = await Promise.all(
    proposals.map((p) => world.api.call(analyseProposal, { params: { proposalId: p.proposalId } })),
  );
  world.narrator.table(
    ['proposal', 'models', 'GPU-seconds', 'answers', 'confounded'],
    proposals.map((p, i) => [
      p.title,
      String(analyses[i]?.models ?? ''),
      String(p.gpuSeconds ?? ''),
      (analyses[i]?.questions ?? []).map((q) => `${q.factor} (${q.pairs})`).join(', '),
      String(analyses[i]?.confounded.length ?? 0),
    ]),
  );
  const total = proposals.reduce((sum, p) => sum + (p.gpuSeconds ?? 0), 0);
  const { budgets } = await world.api.call(getRound, { params: { roundId } });
  const budget = budgets.reduce((sum, b) => sum + b.gpuSeconds, 0);
  world.narrator.check(
    'more is proposed than the budget can pay',
    total > budget,
    `${total} of ${budget} GPU-seconds`,
  );
  world.report['proposals'] = proposals.map((p, i) => ({ ...p, body: undefined, analysis: analyses[i] }));
  return proposals;
}

async function refuseTheUnaffordable(world: World, roundId: string, design: DesignInput): Promise<void> {
  const lab = world.labs[2] as Lab;
  const huge: DesignInput = {
    ...design,
    name: `${design.name}-huge`,
    factors: { ...design.factors, initialisationSeed: Array.from({ length: 50 }, (_, i) => i + 1) },
  };
  const refused = await problemOf(
    lab.researcher.api.call(createProposal, {
      params: { roundId },
      body: { labId: lab.labId, body: { kind: 'suite', design: huge } },
    }),
  );
  world.narrator.check(
    'a suite that no budget could pay is refused at once',
    refused === 'governance.over-budget',
    refused,
  );
}

async function deliberate(world: World, roundId: string, proposals: readonly ProposalView[]): Promise<void> {
  const [main] = proposals;
  if (main === undefined || main.body.kind !== 'suite') throw new Error('the first proposal is a suite');
  await world.secretariat.api.call(deliberateRound, { params: { roundId }, body: {} });
  const critic = world.labs[1]?.reviewer as Person;
  const proposer = world.labs[0]?.researcher as Person;
  await critic.api.call(commentOnProposal, {
    params: { proposalId: main.proposalId },
    body: { text: 'Please say why the data order is the same for all sizes.' },
  });
  const amended = await proposer.api.call(amendProposal, {
    params: { proposalId: main.proposalId },
    body: {
      body: {
        kind: 'suite',
        design: {
          ...main.body.design,
          description: `${main.body.design.description} All models of a language see the same text in the same order, so that only what the factors name differs.`,
        },
      },
      note: 'Says why the order is held equal',
    },
  });
  world.narrator.check(
    'the proposal was amended in the open',
    amended.version === 2,
    `version ${amended.version}`,
  );
}

async function vote(world: World, roundId: string, proposals: readonly ProposalView[]): Promise<string> {
  let first = '';
  for (const { lab, role, of } of approvals) {
    const voter = (world.labs[lab] as Lab)[role];
    const approve = of.flatMap((i) => proposals[i]?.proposalId ?? []);
    const cast = await voter.api.call(castBallot, {
      params: { roundId },
      body: { content: { kind: 'approval', approve } },
    });
    if (first === '') first = cast.ballot.ballotId;
  }
  const again = world.labs[2]?.researcher as Person;
  const changed = await again.api.call(castBallot, {
    params: { roundId },
    body: {
      content: {
        kind: 'approval',
        approve: [proposals[2], proposals[4]].flatMap((p) => p?.proposalId ?? []),
      },
    },
  });
  world.narrator.check('a second ballot replaces the first one of the same voter', changed.replaced);
  const outsider = world.labs[0]?.operator as Person;
  const refused = await problemOf(
    outsider.api.call(castBallot, {
      params: { roundId },
      body: { content: { kind: 'approval', approve: [] } },
    }),
  );
  world.narrator.check('who is not on the roll cannot vote', refused === 'governance.not-on-roll', refused);
  return first;
}

async function awaitResult(world: World, roundId: string): Promise<RoundResult> {
  const deadlineMs = Date.now() + countTimeoutMs;
  for (;;) {
    const round = await world.api.call(getRound, { params: { roundId } });
    if (round.state === 'decided') return world.api.call(getResult, { params: { roundId } });
    if (Date.now() > deadlineMs) throw new Error(`the round is still ${round.state}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** Runs the verifier as an outsider would: on a file, without a server; then on a copy with one payment changed. */
async function checkCertificate(world: World, roundId: string): Promise<string> {
  const { demoDir, repositoryDir } = world.options;
  mkdirSync(demoDir, { recursive: true });
  const certificate = await (await world.api.raw(getCertificate, { params: { roundId } })).text();
  const path = join(demoDir, 'certificate.json');
  const forgedPath = join(demoDir, 'certificate-forged.json');
  writeFileSync(path, certificate);
  writeFileSync(forgedPath, changeOnePayment(certificate));
  writeFileSync(
    join(demoDir, 'round.html'),
    await (await world.api.raw(getReport, { params: { roundId } })).text(),
  );
  const verify = async (file: string) => {
    try {
      const { stdout } = await promisify(execFile)(process.execPath, [
        join(repositoryDir, 'apps/cli/bin/beamtime.mjs'),
        'verify',
        file,
      ]);
      return { accepted: true, said: stdout.trim().split('\n').at(-1) ?? '' };
    } catch (error) {
      const { stderr, stdout } = error as { stderr?: string; stdout?: string };
      return {
        accepted: false,
        said: (stderr?.trim() || stdout?.trim() || String(error)).split('\n').at(-1) ?? '',
      };
    }
  };
  const honest = await verify(path);
  world.narrator.check('`beamtime verify` accepts the certificate', honest.accepted, honest.said);
  const forged = await verify(forgedPath);
  world.narrator.check('… and rejects it after one changed payment', !forged.accepted, forged.said);
  return path;
}

/** Raises the first payment in the certificate by a little. */
export function changeOnePayment(certificate: string): string {
  const parsed = JSON.parse(certificate) as unknown;
  let changed = false;
  const visit = (value: unknown, key: string): unknown => {
    if (changed) return value;
    if (
      /^(amount|paid|payment|pays|price|each)$/i.test(key) &&
      (typeof value === 'string' || typeof value === 'number')
    ) {
      changed = true;
      return typeof value === 'number'
        ? value + 1
        : value.replace(/\d+/, (digits) => String(BigInt(digits) + 1n));
    }
    if (Array.isArray(value)) return value.map((item) => visit(item, key));
    if (typeof value === 'object' && value !== null) {
      return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, visit(item, name)]));
    }
    return value;
  };
  const forged = JSON.stringify(visit(parsed, ''));
  if (!changed) throw new Error('the certificate names no payment');
  return forged;
}

/** The code of the problem that a call ends with, or `none`. */
export async function problemOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return 'none';
  } catch (error) {
    if (error instanceof ProblemError) return error.problem.code;
    throw error;
  }
}
