import {
  acceptAward,
  createAllocationKey,
  createApplication,
  decideApplication,
  recommendApplication,
  showApplication,
  takeReview,
} from '@beamtime/contracts';
import type { Lab, World } from '../world.js';
import { problemOf } from './decide-round.js';

export interface GrantedAccess {
  readonly applicationId: string;
  readonly allocationId: string;
  /** Key of the allocation with the scopes `outputs` and `internals:read`. */
  readonly key: string;
  readonly granted: { readonly outputTokens: number; readonly activationBytes: number };
}

const grantDays = 30;
const outputTokens = 20_000;
const activationBytes = 8_000_000;

/** From an application to an API key: reviewed by another lab, decided by the secretariat, accepted by the applicant. */
export async function grantAccess(world: World, suiteId: string): Promise<GrantedAccess> {
  const { narrator, secretariat } = world;
  narrator.chapter('Access: an application, its review, an allocation');
  const [, home, other] = world.labs as [Lab, Lab, Lab];
  const applicant = home.researcher;
  const application = await applicant.api.call(createApplication, {
    body: {
      title: `Do attention heads develop alike across sizes and languages? (${world.runName})`,
      purpose:
        'Previous-token and induction scores of each head over training, and surprisal of held-out text.',
      models: [suiteId],
      scopes: ['outputs', 'internals:read'],
      requested: [
        { unit: 'output_tokens', amount: outputTokens },
        { unit: 'activation_bytes', amount: activationBytes },
      ],
      endsAt: new Date(Date.now() + grantDays * 86_400_000).toISOString(),
    },
  });
  const params = { applicationId: application.applicationId };
  narrator.fact(
    `${applicant.name} (${home.name})`,
    `applies: ${application.applicationId}, tier ${application.tier}`,
  );

  const conflicted = await problemOf(home.reviewer.api.call(takeReview, { params, body: {} }));
  const reading = await problemOf(home.reviewer.api.call(showApplication, { params }));
  narrator.check(
    `${home.reviewer.name}, a reviewer of the same lab, is refused (403), also to read it`,
    conflicted === 'access.conflict-of-interest' && reading === 'access.conflict-of-interest',
    conflicted,
  );
  await other.reviewer.api.call(takeReview, { params, body: {} });
  await other.reviewer.api.call(recommendApplication, {
    params,
    body: {
      outcome: 'award',
      score: 5,
      text: 'A controlled comparison that the web cannot offer. The request is modest.',
    },
  });
  narrator.fact(`${other.reviewer.name} (${other.name})`, 'recommends an award, 5 of 5');
  await secretariat.api.call(decideApplication, {
    params,
    body: { outcome: 'award', reason: 'As recommended' },
  });
  narrator.fact('The secretariat', 'awards it');
  const { allocationId } = await applicant.api.call(acceptAward, { params });
  narrator.fact(`${applicant.name}`, `accepts: ${allocationId}`);
  const key = await applicant.api.call(createAllocationKey, {
    params: { allocationId },
    body: { label: 'demo' },
  });
  narrator.fact('API key', `${key.token.slice(0, 8)}… with ${key.scopes.join(', ')}`);
  world.report['access'] = { ...params, allocationId, keyId: key.keyId, scopes: key.scopes };
  return {
    applicationId: application.applicationId,
    allocationId,
    key: key.token,
    granted: { outputTokens, activationBytes },
  };
}

/** A second, tiny allocation: five requests' worth, for the race of twenty. */
export async function grantSmallAllocation(
  world: World,
  suiteId: string,
  tokens: number,
): Promise<{ allocationId: string; key: string }> {
  const [, home, other] = world.labs as [Lab, Lab, Lab];
  const application = await home.researcher.api.call(createApplication, {
    body: {
      title: `Five requests, no more (${world.runName})`,
      purpose: 'To see that a limit holds before the work.',
      models: [suiteId],
      scopes: ['outputs'],
      requested: [{ unit: 'output_tokens', amount: tokens }],
      endsAt: new Date(Date.now() + 86_400_000).toISOString(),
    },
  });
  const params = { applicationId: application.applicationId };
  await other.reviewer.api.call(takeReview, { params, body: {} });
  await other.reviewer.api.call(recommendApplication, {
    params,
    body: { outcome: 'award', score: 4, text: 'Small and clear.' },
  });
  await world.secretariat.api.call(decideApplication, {
    params,
    body: { outcome: 'award', reason: 'As recommended' },
  });
  const { allocationId } = await home.researcher.api.call(acceptAward, { params });
  const key = await home.researcher.api.call(createAllocationKey, {
    params: { allocationId },
    body: { label: 'race' },
  });
  return { allocationId, key: key.token };
}
