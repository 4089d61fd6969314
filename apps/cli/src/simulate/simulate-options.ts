export interface SimulateOptions {
  readonly scenario: string;
  readonly policy: string;
  readonly seed: string;
  readonly trace?: string;
  readonly nodes?: string;
  readonly cluster?: string;
  readonly overheads?: string;
  readonly load?: string;
  readonly copies?: string;
  readonly outages?: boolean;
  readonly inflate?: string;
}
