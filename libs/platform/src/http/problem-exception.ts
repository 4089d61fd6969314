import { type ProblemCode, problemCodes } from '@beamtime/contracts';
import type { Problem, Result } from '@beamtime/kernel';
import { HttpException } from '@nestjs/common';

/** A problem on its way to the client. */
export class ProblemException extends HttpException {
  constructor(
    readonly problem: Problem<ProblemCode>,
    readonly issues?: readonly { path: string; message: string }[],
  ) {
    super(problem.detail, problemCodes[problem.code].status);
  }
}

/** The value of a use case's result, or its problem as an HTTP error. */
export function unwrap<T>(result: Result<T, Problem<ProblemCode>>): T {
  if (result.ok) return result.value;
  throw new ProblemException(result.error);
}

export function deny(code: ProblemCode, detail: string): never {
  throw new ProblemException({ code, detail });
}
