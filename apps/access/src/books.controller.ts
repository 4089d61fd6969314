import { type AccountOwner, checkBooks, Ledger, LendToOperations, reportGpuSeconds } from '@beamtime/access';
import {
  checkBooks as checkBooksEndpoint,
  gpuSecondsReport,
  type InputOf,
  lendToOperations,
  listAccounts,
  listJournal,
  type ResponseOf,
} from '@beamtime/contracts';
import { Endpoint, Input, Person, type PersonPrincipal, Transactor, unwrap } from '@beamtime/platform';
import { Controller, Inject } from '@nestjs/common';
import { accountWire, journalWire } from './wire.js';

@Controller()
export class BooksController {
  constructor(
    @Inject(Ledger) private readonly ledger: Ledger,
    @Inject(LendToOperations) private readonly loans: LendToOperations,
    @Inject(Transactor) private readonly transactor: Transactor,
  ) {}

  @Endpoint(checkBooksEndpoint)
  async check(): Promise<ResponseOf<typeof checkBooksEndpoint>> {
    const { ok, checks, totals } = await checkBooks(this.transactor.read);
    return { ok, checks: [...checks], totals: [...totals] };
  }

  @Endpoint(gpuSecondsReport)
  async gpuSeconds(): Promise<ResponseOf<typeof gpuSecondsReport>> {
    const { rounds, accounts, total } = await reportGpuSeconds(this.transactor.read);
    return { rounds: [...rounds], accounts: [...accounts], total };
  }

  @Endpoint(listAccounts)
  async accounts(@Input() { query }: InputOf<typeof listAccounts>): Promise<ResponseOf<typeof listAccounts>> {
    const accounts = await this.ledger.balances(query.below as AccountOwner);
    return { items: accounts.map(accountWire) };
  }

  @Endpoint(listJournal)
  async journal(@Input() { query }: InputOf<typeof listJournal>): Promise<ResponseOf<typeof listJournal>> {
    const lines = await this.ledger.journal(query);
    return { items: lines.map(journalWire) };
  }

  @Endpoint(lendToOperations)
  async lend(
    @Input() { body }: InputOf<typeof lendToOperations>,
    @Person() caller: PersonPrincipal,
  ): Promise<ResponseOf<typeof lendToOperations>> {
    return unwrap(await this.loans.execute(caller, body));
  }
}
