// `npm run docs:lifecycles`: writes docs/lifecycles.md from the transition tables, so that the drawings cannot say
// anything that the code does not do. test/unit/lifecycles.spec.ts fails when the document is out of date.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { allocationTransitions, applicationTransitions, holdTransitions } from '@beamtime/access';
import { corpusLifecycle, modelLifecycle } from '@beamtime/catalogue';
import { roundLifecycle } from '@beamtime/governance';
import { drawTransitions, isTerminal } from '@beamtime/kernel';
import { attemptLifecycle, clusterLifecycle, jobLifecycle } from '@beamtime/scheduling';
import { studyLifecycle } from '@beamtime/studies';

/** Every lifecycle, in the order in which a ballot becomes a figure. `from` is the file of its table. */
const lifecycles = [
  {
    name: 'Round',
    table: roundLifecycle,
    initial: 'planned',
    from: 'libs/governance/src/domain/round-lifecycle.ts',
    says: 'A round only moves forward. A charter without deliberation goes from `proposing` straight to `voting`; once the vote is closed nobody can cancel it, so nobody can look at the ballots first.',
  },
  {
    name: 'Corpus',
    table: corpusLifecycle,
    initial: 'registered',
    from: 'libs/catalogue/src/domain/lifecycles.ts',
    says: 'A corpus is announced, then its bytes arrive: they are text, or it is rejected for good.',
  },
  {
    name: 'Model',
    table: modelLifecycle,
    initial: ['planned', 'listed'],
    from: 'libs/catalogue/src/domain/lifecycles.ts',
    says: 'A model is planned with its suite, or described to be imported. A failed one may be trained again. A closed one is listed for behaviour only, until it is not offered any more.',
  },
  {
    name: 'Job',
    table: jobLifecycle,
    initial: 'queued',
    from: 'libs/scheduling/src/domain/job-lifecycle.ts',
    says: 'The state of a job follows from its attempts: `running` means that it has a live one, and it returns to `queued` when that one is lost or preempted.',
  },
  {
    name: 'Attempt',
    table: attemptLifecycle,
    initial: 'offered',
    from: 'libs/scheduling/src/domain/attempt-lifecycle.ts',
    says: 'One try at a job on one cluster. A report may be lost and the next one say more, so states on the way may be skipped; none is ever taken back. `lost` is what the facility says when a lease has run out.',
  },
  {
    name: 'Cluster',
    table: clusterLifecycle,
    initial: 'down',
    from: 'libs/scheduling/src/domain/cluster-lifecycle.ts',
    says: "Slurm's words: it takes work, finishes what it has, has finished, is not heard of. A new cluster is `down` until its agent is heard.",
  },
  {
    name: 'Application',
    table: applicationTransitions,
    initial: 'draft',
    from: 'libs/access/src/domain/application/application-state.ts',
    says: '`awarded` waits for the applicant, who may still say no. A rejected application may be handed in again.',
  },
  {
    name: 'Allocation',
    table: allocationTransitions,
    initial: 'active',
    from: 'libs/access/src/domain/application/application-state.ts',
    says: 'Begins when an award is accepted. Only an active one pays for requests.',
  },
  {
    name: 'Hold',
    table: holdTransitions,
    initial: 'pending',
    from: 'libs/access/src/domain/ledger/hold-state.ts',
    says: 'Units set aside before the work. A hold ends once: charged in whole or part, given back, or run out.',
  },
  {
    name: 'Study',
    table: studyLifecycle,
    initial: 'running',
    from: 'libs/studies/src/domain/study-lifecycle.ts',
    says: 'Runs until the last of its jobs has ended.',
  },
];

const opening = `# Lifecycles

Drawn from the transition tables by \`npm run docs:lifecycles\`; do not edit. What a table does not allow is a typed error
(\`state.illegal-transition\`, 409 over HTTP), and every move that is made is an event with its actor and reason. Property
tests hold that each state can be reached and that each leads to an end. A suite has no table: its state follows from its models'.
`;

/** The whole document. */
export function drawLifecycles() {
  const sections = lifecycles.map(({ name, table, initial, from, says }) => {
    const ends = Object.keys(table).filter((state) => isTerminal(table, state));
    return [
      `## ${name}`,
      '',
      `${says} Ends: ${ends.map((state) => `\`${state}\``).join(', ')}. Table: [${from}](../${from}).`,
      '',
      '```mermaid',
      drawTransitions(table, ...[initial].flat()),
      '```',
    ].join('\n');
  });
  return `${[opening, ...sections].join('\n')}\n`.replaceAll('```\n##', '```\n\n##');
}

const document = fileURLToPath(new URL('../docs/lifecycles.md', import.meta.url));
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(document, drawLifecycles());
  console.log('docs/lifecycles.md is drawn from the transition tables.');
}
