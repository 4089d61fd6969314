import type { ApiClient, JobView, SuiteDesignInput } from '@beamtime/contracts';
import type { Child } from './child-process.js';
import type { Checked, Narrator } from './narrate.js';

/** What the demo was asked to do. */
export interface DemoOptions {
  readonly corpusDir: string | undefined;
  readonly executor: 'local' | 'slurm';
  /** Folder for the report, logs, and the state of facility and agents. */
  readonly demoDir: string;
  readonly repositoryDir: string;
}

export interface Person {
  readonly personId: string;
  readonly name: string;
  readonly email: string;
  readonly api: ApiClient;
}

export interface Lab {
  readonly labId: string;
  readonly slug: string;
  readonly name: string;
  readonly delegate: Person;
  readonly reviewer: Person;
  readonly researcher: Person;
  readonly operator: Person;
}

export interface DemoCluster {
  readonly clusterId: string;
  readonly name: string;
  readonly lab: Lab;
  readonly configPath: string;
  agent: Child;
}

/** What was broken while training, and how it went on. */
export interface Fault {
  readonly controlJobId: string;
  readonly job: JobView;
  readonly clusterName: string;
  readonly attempt: number;
  readonly resumedFromStep: number | null;
  readonly recoverySeconds: number;
}

/** What the steps hand on to each other; a step fills in its part. */
export interface World {
  readonly options: DemoOptions;
  readonly narrator: Narrator;
  readonly checks: Checked[];
  /** Distinguishes this run from others on the same database. */
  readonly runName: string;
  readonly api: ApiClient;
  readonly facilityUrl: string;
  readonly secretariat: Person;
  readonly labs: readonly Lab[];
  readonly clusters: DemoCluster[];
  /** Every figure and id of the story, for report.json. */
  readonly report: Record<string, unknown>;
}

export type DesignInput = SuiteDesignInput;
