/** The whole of docs/lifecycles.md, drawn from the transition tables. */
export function drawLifecycles(): string;
