import { hasBetterClaim, isEarlier, type JobNow, type OwnerNow } from './state.js';

/**
 * Whose turn it is among the owners with jobs at a level: a heap. While a level is served, turns of others stay as they
 * are and that of the owner whose turn it is only becomes later, so each step moves one owner back.
 */
export class OwnerTurns {
  private readonly owners: OwnerNow[];
  /** The job for which each owner has its turn, where that decides. */
  private readonly heads: JobNow[] = [];
  private readonly byArrival: boolean;

  /** @param headOf whose earliest job goes first, by this; null: the owner that runs least for its share */
  constructor(owners: Iterable<OwnerNow>, headOf: ((owner: OwnerNow) => JobNow | undefined) | null) {
    this.byArrival = headOf !== null;
    // An array as long as it will ever be: this is made several times a decision.
    this.owners = [...owners];
    if (headOf !== null) {
      const heads = this.owners.map(headOf);
      this.owners = this.owners.filter((_, at) => heads[at] !== undefined);
      this.heads = heads.filter((head) => head !== undefined);
    }
    for (let at = (this.owners.length >> 1) - 1; at >= 0; at--) this.sink(at);
  }

  get first(): OwnerNow | undefined {
    return this.owners[0];
  }

  /** The job for which the first owner has its turn; undefined where arrival does not matter. */
  get head(): JobNow | undefined {
    return this.heads[0];
  }

  /** The first has had its turn, or its head is another: it goes where it belongs now. */
  moveBack(head?: JobNow): void {
    if (head !== undefined) this.heads[0] = head;
    this.sink(0);
  }

  /** The first has nothing more to start. */
  drop(): void {
    const owner = this.owners.pop();
    const head = this.heads.pop();
    if (owner === undefined || this.owners.length === 0) return;
    this.owners[0] = owner;
    if (head !== undefined) this.heads[0] = head;
    this.sink(0);
  }

  private sink(from: number): void {
    const { owners, heads, byArrival } = this;
    const size = owners.length;
    const owner = owners[from] as OwnerNow;
    const head = heads[from] as JobNow;
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      if (child + 1 < size && this.isBefore(child + 1, child)) child++;
      const [above, job] = [owners[child] as OwnerNow, heads[child] as JobNow];
      if (byArrival ? !isEarlier(job, head) : !hasBetterClaim(above, owner)) break;
      owners[at] = above;
      if (byArrival) heads[at] = job;
      at = child;
    }
    owners[at] = owner;
    if (byArrival) heads[at] = head;
  }

  private isBefore(a: number, b: number): boolean {
    return this.byArrival
      ? isEarlier(this.heads[a] as JobNow, this.heads[b] as JobNow)
      : hasBetterClaim(this.owners[a] as OwnerNow, this.owners[b] as OwnerNow);
  }
}
