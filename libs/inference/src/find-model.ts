import type { ProblemCode } from '@beamtime/contracts';
import { err, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import type { ClosedModel, MeteredTarget, ModelLookup, ServableRevision } from './ports.js';

/** Splits `name@revision`; the revision is undefined when not named. */
export function splitModelText(text: string): { name: string; revision: string | undefined } {
  const at = text.lastIndexOf('@');
  return at < 0
    ? { name: text, revision: undefined }
    : { name: text.slice(0, at), revision: text.slice(at + 1) };
}

/** The model that is asked to say something: one that is served here, or a closed one behind an upstream. */
export async function findTalker(
  lookup: ModelLookup,
  ...named: readonly (string | undefined)[]
): Promise<Result<ServableRevision | ClosedModel, Problem<ProblemCode>>> {
  const text = named.find((name) => name !== undefined);
  if (text === undefined) {
    return err(
      problem('request.invalid', 'Name the model: {"model": "name@revision"}, or call /m/{model}/v1/…'),
    );
  }
  const { name, revision } = splitModelText(text);
  return lookup.find(name, revision === 'main' ? undefined : revision);
}

/** The revision that a request means; the name may come from the body or from the path. A closed model is refused. */
export async function findModel(
  lookup: ModelLookup,
  ...named: readonly (string | undefined)[]
): Promise<Result<ServableRevision, Problem<ProblemCode>>> {
  const found = await findTalker(lookup, ...named);
  if (!found.ok) return found;
  const target = found.value;
  if (target.kind === 'served') return ok(target);
  return err(
    problem(
      'catalogue.behaviour-only',
      `${target.modelName} is a closed model, listed for behaviour only: ask it for completions or surprisal`,
    ),
  );
}

/** Whether what an allocation names covers a model; refused with a problem otherwise. For what needs no hold. */
export function requireGranted(
  patterns: readonly string[],
  target: MeteredTarget,
): Result<MeteredTarget, Problem<'access.model-not-granted'>> {
  const { modelId, suiteId } = target.policyModel;
  if (patterns.some((pattern) => pattern === '*' || pattern === modelId || pattern === suiteId))
    return ok(target);
  return err(problem('access.model-not-granted', `The allocation does not cover ${target.modelName}`));
}
