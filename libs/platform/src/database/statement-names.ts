/** A statement that comes more often than this is worth a plan that stays. */
const usesBefore = 20;
/** Named statements of a connection; each costs the server some tens of kilobytes. */
const namesMost = 200;
/** Texts counted at a time; whoever builds ever new ones pushes out others, not the memory. */
const textsMost = 2_000;

/**
 * Gives names to the statements that come again and again: PostgreSQL then parses and plans each once per connection
 * instead of each time (ADR 42). Callers need not know.
 */
export class StatementNames {
  private readonly uses = new Map<string, number>();
  private readonly names = new Map<string, string>();
  private generation = 1;

  /** The name under which to send a text; undefined for one that is to be planned anew. */
  nameOf(text: string): string | undefined {
    const known = this.names.get(text);
    if (known !== undefined) return known;
    // Several statements in one text cannot be prepared.
    if (this.names.size >= namesMost || text.includes(';')) return undefined;
    const uses = (this.uses.get(text) ?? 0) + 1;
    if (uses <= usesBefore) {
      if (uses === 1 && this.uses.size >= textsMost) this.uses.clear();
      this.uses.set(text, uses);
      return undefined;
    }
    this.uses.delete(text);
    const name = `beamtime-${this.generation}-${this.names.size}`;
    this.names.set(text, name);
    return name;
  }

  /** After the tables have changed: what connections remember under the old names no longer serves. */
  renew(): void {
    this.generation += 1;
    this.names.clear();
  }
}

/** Whether a remembered statement answers other columns than when it was prepared: a table was altered meanwhile. */
export function isOutdatedStatement(driverError: unknown): boolean {
  const { code, routine } = driverError as { code?: unknown; routine?: unknown };
  return code === '0A000' && routine === 'RevalidateCachedQuery';
}
