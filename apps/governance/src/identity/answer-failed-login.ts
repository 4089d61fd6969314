import { type ProblemCode, problemCodes, startOidcLogin } from '@beamtime/contracts';
import type { LoginIntent } from '@beamtime/identity';
import { err, type Problem } from '@beamtime/kernel';
import { unwrap } from '@beamtime/platform';
import type { Request, Response } from 'express';

/**
 * Tells of a failed login where it began: the command line at its loopback address, a person on a page that they can
 * read, anything else by a problem like everywhere.
 */
export function answerFailedLogin(
  request: Request,
  response: Response,
  problem: Problem<ProblemCode>,
  intent: LoginIntent | undefined,
): void {
  if (intent?.redirect !== undefined) {
    const back = new URL(intent.redirect);
    back.searchParams.set('error', problem.code);
    back.searchParams.set('error_description', problem.detail);
    if (intent.state !== undefined) back.searchParams.set('state', intent.state);
    response.redirect(302, back.href);
    return;
  }
  if (request.accepts(['json', 'html']) !== 'html') unwrap(err(problem));
  const { status, title } = problemCodes[problem.code];
  response
    .status(status)
    .type('html')
    .send(
      `<!doctype html><html lang="en"><meta charset="utf-8"><title>Login · Beamtime</title>
<body style="font: 1.1rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 4rem auto; padding: 0 1rem">
<h1>${escaped(title)}</h1><p>${escaped(problem.detail)}</p><p><a href="${startOidcLogin.path}">Log in again</a></p>`,
    );
}

function escaped(text: string): string {
  const entities: Record<string, string> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
    "'": '&#39;',
  };
  return text.replaceAll(/[&<>"']/g, (letter) => entities[letter] ?? '');
}
