/** An expected failure: a stable code, and a sentence that tells the person what to do. */
export interface Problem<Code extends string = string> {
  readonly code: Code;
  readonly detail: string;
  /** Further facts a program may want (the limit, the field, the id); never internals or secrets. */
  readonly facts?: Readonly<Record<string, unknown>>;
}

export function problem<Code extends string>(
  code: Code,
  detail: string,
  facts?: Readonly<Record<string, unknown>>,
): Problem<Code> {
  return facts === undefined ? { code, detail } : { code, detail, facts };
}
