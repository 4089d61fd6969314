export interface SimulateOptions {
  readonly scenario: string;
  readonly policy: string;
  readonly seed: string;
  readonly trace?: string;
  readonly nodes?: string;
  readonly cluster?: string;
  readonly overheads?: string;
}
