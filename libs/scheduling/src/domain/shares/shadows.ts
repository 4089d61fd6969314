import { judgeForEver } from '../judge-cluster.js';
import { consortium } from '../snapshot.js';
import { type ShadowListener, ShadowSilo, shadowServedMs } from './shadow-silo.js';
import {
  type ClusterNow,
  type JobNow,
  type OwnerNow,
  type ShadowJob,
  type Shape,
  servedMsOf,
} from './state.js';
import { TimeHeap } from './time-heap.js';

/** The schedules that labs would have had alone, one for each lab with a cluster. */
export class Shadows {
  private readonly silos = new Map<OwnerNow, ShadowSilo>();
  /** In which something may be due, and when. */
  private readonly due = new TimeHeap<ShadowSilo>();

  constructor(
    private readonly clusters: readonly ClusterNow[],
    private readonly listener: Pick<ShadowListener, 'changed'>,
  ) {}

  /** Begins the schedule of a lab; an owner without clusters has none. */
  open(owner: OwnerNow): void {
    if (owner.owner === consortium) return;
    const own = this.clusters.filter(({ info }) => info.labId === owner.owner && info.state !== 'retired');
    if (own.length === 0) return;
    // What a lab pledged to the consortium it would not have for itself.
    const brought = own.reduce((sum, { gpus }) => sum + gpus, 0);
    const kept = Math.min(1, owner.entitledGpus / Math.max(1, brought));
    const silo: ShadowSilo = new ShadowSilo(
      own.map(({ info, gpus }) => ({ clusterId: info.clusterId, gpus: Math.floor(gpus * kept + 1e-9) })),
      {
        changed: (shadow, nowMs) => this.listener.changed(shadow, nowMs),
        expects: (atMs) => this.due.push(atMs, silo),
      },
    );
    this.silos.set(owner, silo);
  }

  /** Whether a lab would have a cluster for itself. */
  has(owner: OwnerNow, clusterId: string): boolean {
    return this.silos.get(owner)?.has(clusterId) ?? false;
  }

  /** Puts a job into the schedule of its lab, new or where it stood; false when it has no place there. */
  add(job: JobNow, shadow: ShadowJob, nowMs: number): boolean {
    const silo = this.silos.get(job.ownerNow);
    if (silo === undefined || !this.hasPlaceAtHome(job.shape) || !silo.couldHold(shadow.gpus)) return false;
    job.shadow = shadow;
    shadow.real = job;
    silo.add(shadow, nowMs);
    return true;
  }

  /** The same for a job that has really ended, or waits where no decision looks yet. */
  addEnded(owner: OwnerNow, shadow: ShadowJob, nowMs: number): boolean {
    const silo = this.silos.get(owner);
    if (silo === undefined || !silo.couldHold(shadow.gpus)) return false;
    silo.add(shadow, nowMs);
    return true;
  }

  /** A job has really ended: there it goes on until it has had as much. */
  ended(job: JobNow, totalMs: number, nowMs: number): void {
    const { shadow } = job;
    if (shadow === null) return;
    shadow.real = null;
    this.silos.get(job.ownerNow)?.ended(shadow, totalMs, nowMs);
  }

  /** A cluster has another number of GPUs from now on; 0 while it is out. */
  resize(clusterId: string, gpus: number, nowMs: number): void {
    for (const silo of this.silos.values()) silo.resize(clusterId, gpus, nowMs);
  }

  advance(nowMs: number): void {
    while (this.due.nextMs <= nowMs) this.due.pop()?.advance(nowMs);
  }

  /** Whether a job fits the schedule of its lab at all. */
  private hasPlaceAtHome(shape: Shape): boolean {
    shape.isAtHome ??=
      shape.request.kind !== 'serve' &&
      this.clusters.some(
        ({ info }) => info.labId === shape.request.owner && judgeForEver(info, shape.request).fits === 'now',
      );
    return shape.isAtHome;
  }
}

/** How far a job is behind what it would have had at home, ms. */
export function debtMsOf(job: JobNow, nowMs: number): number {
  return job.shadow === null ? 0 : shadowServedMs(job.shadow, nowMs) - servedMsOf(job, nowMs);
}

/** Whether a job would be running at home by now, and would have had no less there. */
export function isOwed({ shadow, servedMs }: JobNow, nowMs: number): boolean {
  if (shadow === null || shadow.startedMs === null || shadow.ended) return false;
  return shadowServedMs(shadow, nowMs) >= servedMs;
}

/** Whether a running job runs at home too, without a lead of any size: that stays as it is while both run. */
export function hasNoLead(job: JobNow, leadMs: number, nowMs: number): boolean {
  const { shadow } = job;
  if (shadow === null || shadow.startedMs === null || shadow.ended) return false;
  return servedMsOf(job, nowMs) - shadowServedMs(shadow, nowMs) < leadMs;
}
