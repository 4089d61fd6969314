// Stands in for the Python runner in tests: the same command line, files, events and exit codes, without torch.
// "Training" is a chain of hashes, one per step, so that a resumed run can be compared with an undisturbed one.
// The learning rate of the job tells it how to misbehave: 0.5 crashes, 0.25 prints nonsense, 0.75 refuses the job,
// 0.125 leaves many files behind.
import { createHash } from 'node:crypto';
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';

const [kind, ...args] = process.argv.slice(2);
const option = (name) => args[args.indexOf(name) + 1];
const job = JSON.parse(readFileSync(option('--job'), 'utf8'));
const workdir = option('--workdir');
const sha256 = (data) => createHash('sha256').update(data).digest('hex');
let seq = 0;
function emit(kindOfEvent, fields) {
  const event = {
    seq: seq++,
    at: new Date().toISOString(),
    jobId: job.jobId,
    attempt: job.attempt,
    kind: kindOfEvent,
    ...fields,
  };
  const line = `${JSON.stringify(event)}\n`;
  process.stdout.write(line);
  appendFileSync(join(workdir, 'events.jsonl'), line);
}
let interrupted;
for (const signal of ['SIGUSR1', 'SIGTERM']) process.on(signal, () => (interrupted ??= signal));
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function save(folder, name, text) {
  mkdirSync(join(workdir, folder), { recursive: true });
  writeFileSync(join(workdir, folder, name), text);
  return [{ path: name, bytes: Buffer.byteLength(text), sha256: sha256(text) }];
}

async function train() {
  const { steps, learningRate } = job.training;
  if (learningRate === 0.75) {
    emit('failed', {
      code: 'bad-job',
      detail: 'the learning rate is refused',
      field: 'training.learningRate',
    });
    process.exit(2);
  }
  let state = { step: 0, chain: sha256(JSON.stringify(job.seeds)) };
  const resume = join(workdir, 'resume', 'state.json');
  if (existsSync(resume)) {
    state = JSON.parse(readFileSync(resume, 'utf8'));
    emit('resumed', { fromStep: state.step, chainSha256: state.chain });
  }
  if (learningRate === 0.125) {
    mkdirSync(join(workdir, 'left'));
    for (let file = 0; file < 10_000; file++) writeFileSync(join(workdir, 'left', `${file}`), '');
  }
  while (state.step < steps) {
    await pause(60);
    state = { step: state.step + 1, chain: sha256(state.chain) };
    const { step, chain } = state;
    const loss = 1 + 1 / step;
    emit('progress', {
      phase: 'train',
      fraction: step / steps,
      step,
      loss,
      losses: [[step, loss]],
      tokensPerSecond: 100,
    });
    if (learningRate === 0.25) process.stdout.write(`{"this is": nonsense ${step}\n\u0000\u0001 more\n`);
    if (learningRate === 0.5 && step === 3) {
      process.stderr.write('CUDA error: an illegal memory access was encountered\n');
      process.exit(1);
    }
    if (step % 2 === 0 || interrupted) {
      const files = save(`resumable/step${step}`, 'state.json', JSON.stringify(state));
      emit('resumable', { step, dir: `resumable/step${step}`, files, chainSha256: chain });
    }
    if (interrupted) {
      emit('interrupted', { signal: interrupted, step });
      process.exit(75);
    }
    if (step === steps) {
      const files = save(`checkpoints/step${step}`, 'model.safetensors', chain);
      const seen = { tokensSeen: step * 10, bytesSeen: step * 30, loss };
      emit('checkpoint', {
        step,
        revision: `step${step}`,
        dir: `checkpoints/step${step}`,
        files,
        ...seen,
        weightsSha256: sha256(chain),
        chainSha256: chain,
      });
    }
  }
  emit('done', { wallSeconds: 1, deviceSeconds: 1, peakMemoryBytes: 1 });
}

async function serve() {
  const token = process.env.BEAMTIME_SERVE_TOKEN;
  const server = createServer((request, response) => {
    if (request.headers.authorization !== `Bearer ${token}`) {
      response.writeHead(401).end();
      return;
    }
    let body = '';
    request.on('data', (chunk) => (body += chunk));
    request.on('end', async () => {
      const given = body === '' ? null : JSON.parse(body);
      response.writeHead(200, { 'content-type': 'application/json' });
      // One that takes its time sends a first piece at once.
      response.write('{');
      await pause(given?.forMs ?? 0);
      response.end(JSON.stringify({ path: request.url, body: given, attempt: job.attempt }).slice(1));
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  emit('ready', {
    host: '127.0.0.1',
    port: server.address().port,
    revisions: job.revisions.map((r) => r.revision),
  });
  while (!interrupted) await pause(20);
  process.exit(75);
}

await (kind === 'serve' ? serve() : train());
