import type { FolderFile, RunnerEvent } from '@beamtime/contracts';
import type { AttemptReporter } from './attempt-reporter.js';
import type { Log } from './log.js';
import type { UploadFiles } from './upload-files.js';

type EventOf<Kind extends RunnerEvent['kind']> = Extract<RunnerEvent, { kind: Kind }>;
/** A folder of the working folder, and what was brought in of it. */
interface OutputFolder {
  readonly dir: string;
  readonly files: readonly FolderFile[];
}
type Work = { readonly resumableStep: number | null; readonly run: () => Promise<void> };

/**
 * What a runner made on its way into the facility, one after another while it works on. Checkpoints, results and
 * artifacts must all arrive; of resumable states only the newest matters.
 */
export class TakeOutputs {
  private readonly queue: Work[] = [];
  private working: Promise<void> | undefined;
  private failure: Error | undefined;
  private state: OutputFolder | undefined;
  private checkpoint: OutputFolder | undefined;

  constructor(
    private readonly uploads: Pick<UploadFiles, 'collect' | 'upload'>,
    private readonly reporter: AttemptReporter,
    private readonly signal: AbortSignal,
    private readonly log: Log,
  ) {}

  /** Takes hold of the files that an event names, at once, and brings them in when it is their turn. */
  async take(event: RunnerEvent): Promise<void> {
    switch (event.kind) {
      case 'checkpoint':
        return this.takeCheckpoint(event);
      case 'resumable':
        return this.takeResumable(event);
      case 'evaluation':
        return this.add(null, async () => {
          const { revision, results, receipt } = event;
          await this.reporter.evaluation({ revision, results, receipt });
        });
      case 'artifact':
        return this.takeArtifact(event);
      default:
    }
  }

  private async takeCheckpoint(event: EventOf<'checkpoint'>): Promise<void> {
    const parcels = await this.uploads.collect(event.dir, event.files);
    this.add(null, async () => {
      await this.uploads.upload(parcels, this.signal);
      const { step, revision, tokensSeen, bytesSeen, loss, weightsSha256, chainSha256 } = event;
      await this.reporter.checkpoint({
        step,
        revision,
        tokensSeen,
        bytesSeen,
        loss,
        weightsSha256,
        chainSha256,
        files: parcels,
      });
      this.checkpoint = { dir: event.dir, files: event.files };
    });
  }

  private async takeResumable(event: EventOf<'resumable'>): Promise<void> {
    const parcels = await this.uploads
      .collect(event.dir, event.files)
      .catch((error: NodeJS.ErrnoException) => {
        // The runner keeps the newest state only: a newer one is about to be named.
        if (error.code === 'ENOENT') return undefined;
        throw error;
      });
    if (parcels === undefined) return;
    this.add(event.step, async () => {
      if (this.queue.some((work) => (work.resumableStep ?? -1) > event.step)) return;
      await this.uploads.upload(parcels, this.signal);
      await this.reporter.resumable({ step: event.step, chainSha256: event.chainSha256, files: parcels });
      this.state = { dir: event.dir, files: event.files };
    });
  }

  private async takeArtifact(event: EventOf<'artifact'>): Promise<void> {
    const file: FolderFile = { path: event.path, bytes: event.bytes, sha256: event.sha256 };
    const parcels = await this.uploads.collect('', [file]);
    const [parcel] = parcels;
    if (parcel === undefined) return;
    this.add(null, async () => {
      await this.uploads.upload(parcels, this.signal);
      await this.reporter.artifact({ name: event.name, mediaType: event.mediaType, file: parcel });
    });
  }

  private add(resumableStep: number | null, run: () => Promise<void>): void {
    this.queue.push({ resumableStep, run });
    this.working ??= this.work();
  }

  private async work(): Promise<void> {
    for (let work = this.queue.shift(); work !== undefined; work = this.queue.shift()) {
      if (this.signal.aborted) break;
      try {
        await work.run();
      } catch (error) {
        if (this.signal.aborted) break;
        this.log('error', 'an output could not be brought in', { error: (error as Error).message });
        // A resumable state that is lost costs time, not results.
        if (work.resumableStep === null) this.failure ??= error as Error;
      }
    }
    this.working = undefined;
  }

  /** All outputs are in, or the reason why one is not. */
  async settled(): Promise<Error | undefined> {
    while (this.working !== undefined) await this.working;
    return this.failure;
  }

  /** The state from which another attempt would go on, as far as this one has brought it in. */
  get savedState(): OutputFolder | undefined {
    return this.state;
  }

  /** The last revision that has been brought in: what evaluates or serves the model reads it next. */
  get lastCheckpoint(): OutputFolder | undefined {
    return this.checkpoint;
  }

  get failed(): Error | undefined {
    return this.failure;
  }
}
