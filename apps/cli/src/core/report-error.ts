import { type ProblemDetails, ProblemError, UnreachableError } from '@beamtime/contracts';
import { CommanderError } from 'commander';
import { CheckFailed, LoginRefused, UsageError } from './usage-error.js';

/** What the exit status of a command says; the help lists them. */
export const exitCodes = { ok: 0, failure: 1, badInput: 2, notAllowed: 3, unreachable: 4 } as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

export interface ReportedError {
  readonly exitCode: ExitCode;
  /** For people: what happened and what to do. */
  readonly text: string;
  /** For programs: the problem, as the API sends it where it came from there. */
  readonly problem:
    | Pick<ProblemDetails, 'code' | 'detail'>
    | { readonly code: string; readonly detail: string };
}

/** Turns whatever a command threw into an exit code, a line for people and a problem for programs. */
export function reportError(error: unknown, facilityUrl: () => string): ReportedError {
  if (error instanceof ProblemError) return ofProblem(error.problem);
  if (error instanceof UnreachableError) {
    const detail = `The facility at ${facilityUrl()} cannot be reached (${error.message}). Is it running (\`npm start\`)? --url or BEAMTIME_URL names another`;
    return { exitCode: exitCodes.unreachable, text: detail, problem: { code: 'cli.unreachable', detail } };
  }
  if (error instanceof UsageError)
    return {
      exitCode: exitCodes.badInput,
      text: error.message,
      problem: { code: 'cli.usage', detail: error.message },
    };
  if (error instanceof LoginRefused)
    return {
      exitCode: exitCodes.notAllowed,
      text: error.message,
      problem: { code: 'cli.login-refused', detail: error.message },
    };
  if (error instanceof CheckFailed)
    return {
      exitCode: exitCodes.failure,
      text: error.message,
      problem: { code: 'cli.check-failed', detail: error.message },
    };
  if (error instanceof CommanderError) {
    const detail = error.message.replace(/^error: /, '');
    return { exitCode: exitCodes.badInput, text: detail, problem: { code: 'cli.usage', detail } };
  }
  const { code, path, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT' || code === 'EACCES' || code === 'EISDIR') {
    const why = { ENOENT: 'does not exist', EACCES: 'may not be read or written', EISDIR: 'is a folder' }[
      code
    ];
    const detail = `${path ?? 'A file'} ${why}`;
    return { exitCode: exitCodes.badInput, text: detail, problem: { code: 'cli.file', detail } };
  }
  const detail = error instanceof Error ? message : String(error);
  return { exitCode: exitCodes.failure, text: detail, problem: { code: 'cli.failure', detail } };
}

function ofProblem(problem: ProblemDetails): ReportedError {
  const exitCode =
    problem.status === 401 || problem.status === 403
      ? exitCodes.notAllowed
      : problem.status === 400 || problem.status === 422
        ? exitCodes.badInput
        : problem.status === 503
          ? exitCodes.unreachable
          : exitCodes.failure;
  const issues = (problem.issues ?? []).map(({ path, message }) => `\n  ${path}: ${message}`).join('');
  const quote =
    problem.status >= 500 && problem.instance !== undefined ? ` [request ${problem.instance}]` : '';
  return { exitCode, text: `${problem.detail} (${problem.code})${quote}${issues}`, problem };
}
