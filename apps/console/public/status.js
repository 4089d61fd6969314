// The status page: asks /status every few seconds and shows it. Text is set as text, never as markup.
const refreshEveryMs = 3_000;

const hours = (seconds) => `${(seconds / 3600).toLocaleString('en', { maximumFractionDigits: 2 })} GPU-hours`;
const when = (iso) => (iso === null ? 'never' : new Date(iso).toLocaleString());
const count = (value) => (value === null ? '' : value.toLocaleString('en'));

function cellOf(value) {
  const cell = document.createElement('td');
  if (value instanceof Node) cell.append(value);
  else cell.textContent = value ?? '';
  if (value === 'failed' || value === 'down') cell.className = 'failed';
  return cell;
}

function show(id, columns, rows, empty) {
  const table = document.getElementById(id);
  table.replaceChildren();
  if (rows.length === 0) {
    const caption = document.createElement('caption');
    caption.className = 'empty';
    caption.textContent = empty;
    table.append(caption);
    return;
  }
  const head = table.createTHead().insertRow();
  for (const name of columns) {
    const cell = document.createElement('th');
    cell.scope = 'col';
    cell.textContent = name;
    head.append(cell);
  }
  const body = table.createTBody();
  for (const row of rows) body.insertRow().append(...row.map(cellOf));
}

function progressOf(job) {
  if (job.progress === null) return '';
  const bar = document.createElement('progress');
  bar.max = 1;
  bar.value = job.progress;
  bar.title = `${Math.round(job.progress * 100)} %`;
  return bar;
}

function render(status) {
  show(
    'clusters',
    ['Cluster', 'Lab', 'State', 'GPUs busy', 'Last seen'],
    status.clusters.map((c) => [c.name, c.lab, c.state, `${c.gpusBusy} of ${c.gpusTotal}`, when(c.lastSeenAt)]),
    'No cluster has been registered: beamtime cluster register --help',
  );
  show(
    'rounds',
    ['Round', 'State', 'Proposals', 'Budget', 'Id'],
    status.rounds.map((r) => [r.title, r.state, count(r.proposals), hours(r.budgetGpuSeconds), r.id]),
    'No round yet: beamtime round create --help',
  );
  const { byState, latest } = status.jobs;
  document.getElementById('job-counts').textContent = Object.entries(byState)
    .map(([state, n]) => `${count(n)} ${state}`)
    .join(' · ');
  show(
    'jobs',
    ['Job', 'Kind', 'State', 'Progress', 'Attempts', 'Cluster'],
    latest.map((j) => [j.name, j.kind, j.state, progressOf(j), count(j.attempts), j.cluster ?? '']),
    'No job yet.',
  );
  show(
    'models',
    ['Model', 'State', 'Family', 'Language', 'Parameters', 'Revisions', 'Loss'],
    status.models.map((m) => [
      m.name,
      m.state,
      m.family ?? 'unknown',
      m.language ?? 'unknown',
      count(m.parameters),
      count(m.revisions),
      m.loss === null ? '' : m.loss.toFixed(3),
    ]),
    'No model yet.',
  );
  document.getElementById('version').textContent = `Beamtime ${status.version} · ${status.labs} labs`;
}

async function refresh() {
  const state = document.getElementById('state');
  try {
    const response = await fetch('/status', { signal: AbortSignal.timeout(10_000) });
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    const status = await response.json();
    render(status);
    state.textContent = `As of ${when(status.at)}`;
    state.className = '';
  } catch (error) {
    state.textContent = `The facility does not answer (${error.message}); trying again.`;
    state.className = 'failed';
  }
  setTimeout(refresh, refreshEveryMs);
}

refresh();
