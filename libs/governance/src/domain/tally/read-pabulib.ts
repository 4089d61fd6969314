import { err, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import { endOfQuotedRecord, splitList, splitQuoted } from './pabulib-records.js';
import { parseRational } from './rational.js';

/** Limits of one file, so that whatever it holds, reading it takes bounded memory. */
export const PABULIB_LIMITS = {
  /** Longest record; a ballot that ranks thousands of projects stays far below. */
  recordCharacters: 4 * 1024 * 1024,
  columns: 1_000,
  metaRows: 10_000,
  projects: 100_000,
  voters: 2_000_000,
  /** Project supports over all ballots together. */
  supports: 20_000_000,
  totalCharacters: 512 * 1024 * 1024,
  /** A name is shown, not studied; the rest is cut off. */
  nameCharacters: 2_000,
  warnings: 20,
} as const;

export type PabulibProblem = Problem<'malformed_pabulib'>;

const ballotTypes = ['approval', 'ordinal', 'cumulative', 'scoring', 'choose-1'] as const;
export type PabulibBallotType = (typeof ballotTypes)[number];

export interface PabulibProject {
  readonly id: string;
  readonly name: string;
  readonly cost: string;
  /** `1` when the city chose it, where the file says so. */
  readonly selected?: string;
}

export interface PabulibVoter {
  readonly id: string;
  readonly ballot: readonly string[];
  readonly points?: readonly string[];
}

export interface PabulibElection {
  readonly meta: ReadonlyMap<string, string>;
  readonly budget: string;
  readonly ballotType: PabulibBallotType;
  readonly projects: readonly PabulibProject[];
  readonly voters: readonly PabulibVoter[];
  /** Oddities that real files have and that were read leniently. */
  readonly warnings: readonly string[];
}

type Section = 'META' | 'PROJECTS' | 'VOTES';
const sections: readonly Section[] = ['META', 'PROJECTS', 'VOTES'];

/** First columns of headers: where one stands without its section, somebody dropped a line. */
const headers: Readonly<Record<string, Section>> = { PROJECT_ID: 'PROJECTS', VOTER_ID: 'VOTES' };

/** A failure on one line, thrown inside the reader and turned into a value at its edge. */
class BadLine extends Error {}

/**
 * Reads a pabulib.org file piece by piece: feed the text in pieces of any size with `push`, then `finish`. It keeps
 * only what a tally needs and stops at the first line that is wrong.
 */
export class PabulibReader {
  private carry = '';
  private line = 0;
  private characters = 0;
  private section: Section | undefined;
  private readonly seen = new Set<Section>();
  private header: string[] | undefined;
  private columns = new Map<string, number>();
  private readonly meta = new Map<string, string>();
  private readonly metaLine = new Map<string, number>();
  private readonly projects: PabulibProject[] = [];
  private readonly projectIds = new Map<string, string>();
  private readonly voters: PabulibVoter[] = [];
  private readonly voterIds = new Set<string>();
  private supports = 0;
  private readonly warnings: string[] = [];
  private declaredVoters = Number.POSITIVE_INFINITY;
  private declaredProjects = Number.POSITIVE_INFINITY;
  private failure: PabulibProblem | undefined;

  /** Takes the next piece of text; returns the problem as soon as there is one, and reading on is pointless. */
  push(text: string): PabulibProblem | undefined {
    return this.guarded(() => {
      const piece = this.characters === 0 && text.startsWith('\uFEFF') ? text.slice(1) : text;
      this.characters += text.length;
      if (this.characters > PABULIB_LIMITS.totalCharacters) {
        this.fail(`the file is longer than ${PABULIB_LIMITS.totalCharacters} characters`, this.line + 1);
      }
      this.readRecords(this.carry === '' ? piece : this.carry + piece, false);
    });
  }

  finish(): Result<PabulibElection, PabulibProblem> {
    const failure = this.guarded(() => {
      this.readRecords(this.carry, true);
      this.checkWhole();
    });
    if (failure) return err(failure);
    return ok({
      meta: this.meta,
      budget: this.meta.get('budget') ?? '',
      ballotType: this.ballotType(),
      projects: this.projects,
      voters: this.voters,
      warnings: this.warnings,
    });
  }

  private guarded(read: () => void): PabulibProblem | undefined {
    if (this.failure) return this.failure;
    try {
      read();
    } catch (error) {
      if (!(error instanceof BadLine)) throw error;
      this.failure = problem('malformed_pabulib', error.message, { line: this.line });
    }
    return this.failure;
  }

  private fail(detail: string, line = this.line): never {
    this.line = line;
    throw new BadLine(`line ${line}: ${detail}`);
  }

  private warn(detail: string): void {
    if (this.warnings.length < PABULIB_LIMITS.warnings) this.warnings.push(`line ${this.line}: ${detail}`);
  }

  /** Cuts the text into records at line ends outside quotes, and keeps what may be half a record. */
  private readRecords(text: string, atEnd: boolean): void {
    let start = 0;
    let quoteAt = text.indexOf('"');
    while (start < text.length) {
      if (quoteAt >= 0 && quoteAt < start) quoteAt = text.indexOf('"', start);
      let end = text.indexOf('\n', start);
      let lines = 1;
      if (quoteAt >= 0 && (quoteAt < end || end < 0)) ({ end, lines } = endOfQuotedRecord(text, start));
      const length = (end < 0 ? text.length : end) - start;
      if (length > PABULIB_LIMITS.recordCharacters) this.failTooLong(lines);
      if (end < 0 && !atEnd) break;
      if (end < 0 && lines > 1) this.fail('a quote is opened and never closed', this.line + 1);
      const stop = start + length;
      this.line++;
      this.readRecord(text.slice(start, text.charCodeAt(stop - 1) === 13 ? stop - 1 : stop));
      this.line += lines - 1;
      start = stop + 1;
    }
    this.carry = start < text.length ? text.slice(start) : '';
  }

  private failTooLong(lines: number): never {
    const limit = PABULIB_LIMITS.recordCharacters;
    if (lines > 1) this.fail('a quote is opened and not closed for a very long time', this.line + 1);
    this.fail(`is longer than ${limit} characters`, this.line + 1);
  }

  private readRecord(record: string): void {
    if (record.trim() === '') return;
    const fields = this.splitRecord(record);
    const first = (fields[0] ?? '').toUpperCase();
    const section = sections.find((name) => name === first);
    if (section && fields.every((field, index) => index === 0 || field === '')) {
      this.openSection(section);
    } else if (this.section === undefined) {
      this.fail('the file must start with a META section');
    } else if (this.header === undefined) {
      this.readHeader(fields.map((field) => field.toLowerCase()));
    } else if (headers[first] !== undefined) {
      this.fail(`the line ${headers[first]} is missing before the header of its section`);
    } else if (this.section === 'META') this.readMeta(fields);
    else if (this.section === 'PROJECTS') this.readProject(fields);
    else this.readVoter(fields);
  }

  private splitRecord(record: string): string[] {
    const fields = record.includes('"')
      ? splitQuoted(record, PABULIB_LIMITS.columns)
      : record.split(';', PABULIB_LIMITS.columns + 1);
    if (fields.length > PABULIB_LIMITS.columns) this.fail(`has more than ${PABULIB_LIMITS.columns} columns`);
    for (let i = 0; i < fields.length; i++) fields[i] = (fields[i] as string).trim();
    return fields;
  }

  private openSection(section: Section): void {
    if (this.seen.has(section)) this.fail(`a second ${section} section`);
    const missing = sections.slice(0, sections.indexOf(section)).find((earlier) => !this.seen.has(earlier));
    if (missing) this.fail(`the ${missing} section is missing; it must come before ${section}`);
    if (this.section === 'META') this.checkMeta();
    if (this.section === 'PROJECTS') this.checkProjects();
    this.seen.add(section);
    this.section = section;
    this.header = undefined;
  }

  private readHeader(fields: string[]): void {
    this.header = fields;
    this.columns = new Map(fields.map((name, index) => [name, index]));
    const points = this.section === 'VOTES' && this.needsPoints() ? ['points'] : [];
    const needed = {
      META: ['key', 'value'],
      PROJECTS: ['project_id', 'cost'],
      VOTES: ['voter_id', 'vote', ...points],
    };
    for (const name of needed[this.section as Section]) {
      if (!this.columns.has(name)) this.fail(`the header of ${this.section} has no column ${name}`);
    }
  }

  private readMeta(fields: string[]): void {
    const key = (fields[0] ?? '').toLowerCase();
    if (fields.length < 2) this.fail(`META has the key ${quote(key)} without a value`);
    if (this.meta.has(key)) this.fail(`META has the key ${quote(key)} twice`);
    if (this.meta.size >= PABULIB_LIMITS.metaRows)
      this.fail(`META has more than ${PABULIB_LIMITS.metaRows} rows`);
    this.meta.set(key, fields[1] ?? '');
    this.metaLine.set(key, this.line);
  }

  private checkMeta(): void {
    const budget = this.meta.get('budget');
    if (budget === undefined) this.fail('META names no budget');
    const amount = parseRational(budget);
    if (!amount || amount.n <= 0n) {
      this.fail(`the budget must be an amount above zero, not ${quote(budget)}`, this.metaLine.get('budget'));
    }
    const type = this.meta.get('vote_type');
    if (type === undefined) this.fail('META names no vote_type');
    if (!ballotTypes.some((known) => known === type.toLowerCase())) {
      this.fail(
        `vote_type ${quote(type)} is none of ${ballotTypes.join(', ')}`,
        this.metaLine.get('vote_type'),
      );
    }
    this.declaredProjects = this.declaredCount('num_projects');
    this.declaredVoters = this.declaredCount('num_votes');
  }

  private declaredCount(key: string): number {
    const text = this.meta.get(key);
    if (text === undefined) return Number.POSITIVE_INFINITY;
    if (!/^\d{1,9}$/.test(text))
      this.fail(`${key} must be a whole number, not ${quote(text)}`, this.metaLine.get(key));
    return Number(text);
  }

  private readProject(fields: string[]): void {
    const id = this.field(fields, 'project_id');
    if (id === '') this.fail('a project without an id');
    if (this.projectIds.has(id)) this.fail(`project id ${quote(id)} appears twice`);
    const cost = this.field(fields, 'cost');
    const amount = parseRational(cost);
    if (!amount) this.fail(`project ${quote(id)} has the cost ${quote(cost)}, which is not an amount`);
    if (amount.n < 0n) this.fail(`project ${quote(id)} has a negative cost`);
    this.projectIds.set(id, id);
    const selected = fields[this.columns.get('selected') ?? -1];
    const name = (fields[this.columns.get('name') ?? -1] ?? '').slice(0, PABULIB_LIMITS.nameCharacters);
    this.projects.push({ id, name, cost, ...(selected === undefined ? {} : { selected }) });
    if (this.projects.length > Math.min(PABULIB_LIMITS.projects, this.declaredProjects)) {
      this.fail(
        this.declaredProjects < this.projects.length
          ? `more projects than the ${this.declaredProjects} that num_projects declares`
          : `more than ${PABULIB_LIMITS.projects} projects`,
      );
    }
  }

  private checkProjects(): void {
    if (Number.isFinite(this.declaredProjects) && this.projects.length !== this.declaredProjects) {
      this.fail(
        `num_projects declares ${this.declaredProjects} projects, but there are ${this.projects.length}`,
      );
    }
    if (this.projects.length === 0) this.fail('PROJECTS is empty');
  }

  private readVoter(fields: string[]): void {
    const id = this.field(fields, 'voter_id');
    if (id === '') this.fail('a ballot without a voter id');
    if (this.voterIds.has(id)) this.fail(`voter id ${quote(id)} appears twice`);
    this.voterIds.add(id);
    const names = splitList(this.field(fields, 'vote'));
    const points = this.needsPoints() ? splitList(this.field(fields, 'points')) : undefined;
    if (points && points.length !== names.length) {
      this.fail(`voter ${quote(id)} gives ${points.length} scores to ${names.length} projects`);
    }
    this.voters.push(this.ballotOf(id, names, points));
    if (this.voters.length > this.declaredVoters) {
      this.fail(`more ballots than the ${this.declaredVoters} that num_votes declares`);
    }
    if (this.voters.length > PABULIB_LIMITS.voters) this.fail(`more than ${PABULIB_LIMITS.voters} ballots`);
    if (this.supports > PABULIB_LIMITS.supports)
      this.fail(`more than ${PABULIB_LIMITS.supports} supports in all`);
  }

  private ballotOf(id: string, names: string[], points: string[] | undefined): PabulibVoter {
    const ballot: string[] = [];
    const scores: string[] = [];
    for (let k = 0; k < names.length; k++) {
      // The project's own text, so that a million ballots hold no copies of it.
      const project = this.projectIds.get(names[k] as string);
      if (project === undefined)
        this.fail(`voter ${quote(id)} votes for the unknown project ${quote(names[k] ?? '')}`);
      if (ballot.includes(project)) {
        this.warn(`voter ${quote(id)} names project ${quote(project)} twice; counted once`);
        continue;
      }
      if (points) {
        const amount = parseRational(points[k] ?? '');
        if (!amount)
          this.fail(`voter ${quote(id)} gives the score ${quote(points[k] ?? '')}, which is not a number`);
        if (amount.n < 0n) this.warn(`voter ${quote(id)} gives a negative score; counted as no support`);
        if (amount.n <= 0n) continue;
        scores.push(points[k] as string);
      }
      ballot.push(project);
    }
    this.supports += ballot.length;
    return points ? { id, ballot, points: scores } : { id, ballot };
  }

  private field(fields: readonly string[], name: string): string {
    const value = fields[this.columns.get(name) ?? -1];
    if (value === undefined) {
      this.fail(
        `has ${fields.length} columns, too few for the column ${name} of the header of ${this.section}`,
      );
    }
    return value;
  }

  private needsPoints(): boolean {
    const type = this.ballotType();
    return type === 'cumulative' || type === 'scoring';
  }

  private ballotType(): PabulibBallotType {
    const type = (this.meta.get('vote_type') ?? '').toLowerCase();
    return ballotTypes.find((known) => known === type) ?? 'approval';
  }

  private checkWhole(): void {
    const end = Math.max(1, this.line);
    const missing = sections.find((section) => !this.seen.has(section));
    if (missing) this.fail(`the file ends without a ${missing} section`, end);
    if (this.header === undefined) this.fail('VOTES has no header', end);
    if (this.voters.length === 0) this.fail('VOTES is empty', end);
    if (Number.isFinite(this.declaredVoters) && this.voters.length !== this.declaredVoters) {
      this.fail(
        `num_votes declares ${this.declaredVoters} ballots, but there are ${this.voters.length}`,
        end,
      );
    }
  }
}

const quote = (text: string): string => JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
