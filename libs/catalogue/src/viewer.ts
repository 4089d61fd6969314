/** Who looks at the catalogue, as far as private models are concerned. */
export interface Viewer {
  /** The secretariat and auditors see everything. */
  readonly seesAll: boolean;
  /** A lab's private models are seen by its members. */
  readonly labIds: readonly string[];
  /** Models that an allocation names, seen with its key. */
  readonly grantedModelIds: readonly string[];
}

export const anyone: Viewer = { seesAll: false, labIds: [], grantedModelIds: [] };
/** For work of the facility itself. */
export const everything: Viewer = { seesAll: true, labIds: [], grantedModelIds: [] };

/** SQL that admits the models of table `m` that a viewer may see; its parameters follow in this order. */
export function visibleModels(
  viewer: Viewer,
  firstParameter: number,
): { sql: string; parameters: unknown[] } {
  const at = (offset: number): string => `$${firstParameter + offset}`;
  return {
    sql: `(m.visibility = 'public' OR ${at(0)}::boolean OR m.lab_id = ANY(${at(1)}::text[]) OR m.id = ANY(${at(2)}::text[]))`,
    parameters: [viewer.seesAll, [...viewer.labIds], [...viewer.grantedModelIds]],
  };
}
