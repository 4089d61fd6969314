import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { accessSchema } from '@beamtime/access';
import { catalogueSchema } from '@beamtime/catalogue';
import { commitImport, createApiClient, importModel, listRevisions, showModel } from '@beamtime/contracts';
import type { LabId } from '@beamtime/kernel';
import {
  AUTHENTICATOR,
  type Authenticator,
  type HttpService,
  loadConfig,
  newId,
  type PersonPrincipal,
  PlatformModule,
  serveHttp,
} from '@beamtime/platform';
import { freshDatabase, redisForTest, type TestDatabase } from '@beamtime/testkit';
import { Module } from '@nestjs/common';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HubModule } from './hub.module.js';

const run = promisify(execFile);
/** The runner's own environment, made by set-up. */
const python = resolve('.beamtime/venv/bin/python');
const skip = existsSync(python) ? false : `no ${python}: \`npm run setup\` makes it`;

const labId = newId('Lab');
const outsider = newId('Lab');
function personOf(lab: LabId): PersonPrincipal {
  return {
    kind: 'person',
    personId: newId('Person'),
    name: 'Ada',
    email: 'ada@lab-a.example',
    memberships: [{ labId: lab, role: 'researcher' }],
    assurance: 'local',
  };
}
const people: Readonly<Record<string, PersonPrincipal>> = {
  'token-a': personOf(labId),
  'token-b': personOf(outsider),
};
const authenticator: Authenticator = {
  authenticate: async ({ bearer }) => people[bearer ?? ''] ?? null,
};

@Module({ providers: [{ provide: AUTHENTICATOR, useValue: authenticator }], exports: [AUTHENTICATOR] })
class FakeIdentity {}

let database: TestDatabase;
let folder: string;
let service: HttpService;

beforeAll(async () => {
  database = await freshDatabase();
  const redis = redisForTest();
  folder = await mkdtemp(join(tmpdir(), 'beamtime-hub-'));
  const config = loadConfig({
    DATABASE_URL: database.url,
    REDIS_URL: redis.url,
    BEAMTIME_QUEUE_PREFIX: redis.prefix,
    BEAMTIME_STATE_DIR: folder,
    BEAMTIME_SECRET: 'x'.repeat(40),
    BEAMTIME_LOG_LEVEL: 'error',
    PORT: '0',
  });
  @Module({
    imports: [
      PlatformModule.register({
        service: 'test',
        version: '0',
        config,
        schemas: [accessSchema, catalogueSchema],
      }),
      { module: FakeIdentity, global: true },
      HubModule,
    ],
  })
  class TestService {}
  service = await serveHttp(TestService, { title: 'Hub', version: '0', host: '127.0.0.1', port: 0 });
  // The port is known only now; the store asks for the address each time it signs one.
  config.BEAMTIME_PUBLIC_URL = service.url;
});

afterAll(async () => {
  await service?.close();
  await database?.drop();
  await rm(folder, { recursive: true, force: true });
});

/** Two revisions of a small GPT-NeoX model with its tokenizer, as the runner saves them; the second above 1 MiB. */
const makeModel = `
import sys, torch
from pathlib import Path
from tokenizers import Tokenizer, models, pre_tokenizers, decoders
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast
alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
tokenizer = Tokenizer(models.BPE({t: i for i, t in enumerate(["<|endoftext|>", *alphabet])}, []))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
for step in (0, 4):
    torch.manual_seed(step)
    model = GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=257, hidden_size=96, num_hidden_layers=3, num_attention_heads=4,
        intermediate_size=384, max_position_embeddings=64, bos_token_id=0, eos_token_id=0))
    folder = Path(sys.argv[1]) / f"step{step}"
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>").save_pretrained(folder)
`;

/** One small model of each of the other families; BERT is masked. */
const makeFamilies = `
import sys, torch
from pathlib import Path
from transformers import AutoTokenizer, BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel
from transformers import LlamaConfig, LlamaForCausalLM, MambaConfig, MambaForCausalLM
tiny = dict(vocab_size=257, hidden_size=48, num_hidden_layers=2)
heads = dict(num_attention_heads=4, intermediate_size=96, max_position_embeddings=64)
torch.manual_seed(7)
for name, model in {
    "llama": LlamaForCausalLM(LlamaConfig(**tiny, **heads)),
    "gpt2": GPT2LMHeadModel(GPT2Config(vocab_size=257, n_embd=48, n_layer=2, n_head=4, n_positions=64)),
    "bert": BertForMaskedLM(BertConfig(**tiny, **heads)),
    "mamba": MambaForCausalLM(MambaConfig(**tiny, state_size=8)),
}.items():
    folder = Path(sys.argv[1]) / name
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(Path(sys.argv[1]).parent / "made" / "step4").save_pretrained(folder)
`;

/** Asks the hub all that its client has questions for. */
const askHub = `
import json, sys, torch
from pathlib import Path
from huggingface_hub import HfApi, get_safetensors_metadata
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM
api, toy = HfApi(), "beamtime/toy-neox"
ids = torch.arange(1, 20)[None]
def same(name):
    auto = AutoModelForMaskedLM if name == "bert" else AutoModelForCausalLM
    with torch.no_grad():
        return torch.equal(auto.from_pretrained(f"beamtime/tiny-{name}")(ids).logits, auto.from_pretrained(Path(sys.argv[1]) / name)(ids).logits)
def refusal(token):
    try:
        api.model_info("beamtime/secret-neox", token=token)
    except RepositoryNotFoundError as error:
        return [error.response.status_code, isinstance(error, GatedRepoError)]
info = api.model_info(toy, revision="step0", files_metadata=True)
print(json.dumps({
    "same": {name: same(name) for name in ("llama", "gpt2", "bert", "mamba")},
    "branches": {b.name: b.target_commit for b in api.list_repo_refs(toy).branches},
    "commits": [[c.commit_id, c.title] for c in api.list_repo_commits(toy)],
    "before": [c.title for c in api.list_repo_commits(toy, revision="step0")],
    "sha": info.sha, "files": sorted(api.list_repo_files(toy, revision=info.sha)),
    "weights": [s.lfs.sha256 for s in info.siblings if s.rfilename == "model.safetensors"],
    "parameters": get_safetensors_metadata(toy, revision="step0").parameter_count,
    "exists": [api.file_exists(toy, "config.json", revision="step4"), api.revision_exists(toy, "step5"), api.repo_exists("beamtime/none")],
    "listed": [m.id for m in api.list_models(author="beamtime", search="TINY", filter="bert")],
    "all": [m.id for m in api.list_models()], "private": [m.id for m in api.list_models(search="secret", token="token-a")],
    "refusals": [refusal(False), refusal("token-b")],
}))
`;

/** Loads each [repo, revision, folder] from the hub and compares its logits with those of the folder. */
const loadModels = `
import json, os, sys, torch
from huggingface_hub import snapshot_download
from transformers import AutoModelForCausalLM, AutoTokenizer
def load(repo, revision, folder):
    tokenizer = AutoTokenizer.from_pretrained(repo, revision=revision)
    model = AutoModelForCausalLM.from_pretrained(repo, revision=revision)
    ids = tokenizer("Grüße", return_tensors="pt").input_ids
    with torch.no_grad():
        same = torch.equal(model(ids).logits, AutoModelForCausalLM.from_pretrained(folder)(ids).logits)
    snapshot = snapshot_download(repo, revision=revision)
    return {"same": same, "text": tokenizer.decode(ids[0]), "commit": os.path.basename(snapshot)}
print(json.dumps([load(*one) for one in json.loads(sys.argv[1])]))
`;

function hubEnv(env: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  return {
    ...process.env,
    HF_ENDPOINT: service.url,
    HF_HOME: join(folder, 'hf'),
    HF_HUB_DISABLE_TELEMETRY: '1',
    HF_HUB_DISABLE_PROGRESS_BARS: '1',
    CUDA_VISIBLE_DEVICES: '',
    ...env,
  };
}

interface Loaded {
  readonly same: boolean;
  readonly text: string;
  readonly commit: string;
}

async function load(
  wanted: readonly (readonly [repo: string, revision: string, folder: string])[],
  env: Readonly<Record<string, string>> = {},
): Promise<Loaded[]> {
  const { stdout } = await run(python, ['-c', loadModels, JSON.stringify(wanted)], {
    env: hubEnv(env),
  });
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Loaded[];
}

async function filesOf(dir: string) {
  const names = await readdir(dir);
  return Promise.all(
    names.map(async (path) => {
      const bytes = await readFile(join(dir, path));
      return {
        path,
        bytes,
        sizeBytes: bytes.length,
        sha256: createHash('sha256').update(bytes).digest('hex'),
      };
    }),
  );
}

async function importFrom(dir: string, name: string, visibility: 'public' | 'private'): Promise<void> {
  const folders = [0, 4].map((step) => ({ step, folder: join(dir, `step${step}`) }));
  await importFolders(folders, name, visibility, { family: 'gpt-neox', objective: 'causal' });
}

async function importFolders(
  folders: readonly { readonly step: number; readonly folder: string }[],
  name: string,
  visibility: 'public' | 'private',
  factors: { readonly family: string; readonly objective: string },
): Promise<void> {
  const client = createApiClient(service.url, 'token-a');
  const steps = await Promise.all(
    folders.map(async ({ step, folder: at }) => ({ step, files: await filesOf(at) })),
  );
  const announced = await client.call(importModel, {
    body: {
      name,
      visibility,
      labId,
      factors,
      revisions: steps.map(({ step, files }) => ({
        step,
        files: files.map(({ path, sizeBytes, sha256 }) => ({ path, sizeBytes, sha256 })),
      })),
    },
  });
  const contents = new Map(steps.flatMap(({ files }) => files).map((file) => [file.sha256, file.bytes]));
  for (const { sha256, upload } of announced.uploads) {
    if (upload === null) continue;
    const put = await fetch(upload.url, {
      method: 'PUT',
      headers: upload.headers,
      body: contents.get(sha256) ?? '',
    });
    expect(put.ok).toBe(true);
  }
  await client.call(commitImport, { params: { model: announced.modelId } });
}

/** Importing torch takes many seconds on a busy machine. */
const slowMs = 240_000;

describe.skipIf(skip !== false)(
  `the hub${skip === false ? '' : ` (skipped: ${skip})`}`,
  { timeout: slowMs },
  () => {
    let models: string;

    beforeAll(async () => {
      models = join(folder, 'made');
      await run(python, ['-c', makeModel, models]);
      await importFrom(models, 'toy-neox', 'public');
      await importFrom(models, 'secret-neox', 'private');
    }, slowMs);

    it('lets transformers load every revision, with the logits that it was saved with', async () => {
      const [first, last, main] = await load([
        ['beamtime/toy-neox', 'step0', join(models, 'step0')],
        ['beamtime/toy-neox', 'step4', join(models, 'step4')],
        ['beamtime/toy-neox', 'main', join(models, 'step4')],
      ]);
      expect([first?.same, last?.same, main?.same]).toEqual([true, true, true]);
      expect(last?.text).toBe('Grüße');
      const { items } = await createApiClient(service.url).call(listRevisions, {
        params: { model: 'toy-neox' },
      });
      expect(items.map((one) => one.commit)).toEqual([first?.commit, last?.commit]);
      expect(main?.commit).toBe(last?.commit);
    });

    it('fills the cache, from which a model loads again without the network', async () => {
      const [cached] = await load([['beamtime/toy-neox', 'main', join(models, 'step4')]], {
        HF_HUB_OFFLINE: '1',
      });
      expect(cached?.same).toBe(true);
    });

    it('says in the words of the hub what is not there', async () => {
      await expect(load([['beamtime/toy-neox', 'step3', '']])).rejects.toThrow(/not a valid git identifier/);
      await expect(load([['beamtime/no-such-model', 'main', '']])).rejects.toThrow(
        /not a valid model identifier/,
      );
    });

    it('gives a private model to its lab and to nobody else', async () => {
      const [loaded] = await load([['beamtime/secret-neox', 'step4', join(models, 'step4')]], {
        HF_TOKEN: 'token-a',
      });
      expect(loaded?.same).toBe(true);
      const headOf = async (token?: string) =>
        fetch(`${service.url}/beamtime/secret-neox/resolve/main/config.json`, {
          method: 'HEAD',
          ...(token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } }),
        });
      expect((await headOf()).status).toBe(401);
      expect((await headOf('token-b')).status).toBe(404);
      expect((await headOf('token-a')).status).toBe(200);
      const shown = createApiClient(service.url).call(showModel, { params: { model: 'secret-neox' } });
      await expect(shown).rejects.toMatchObject({ problem: { code: 'resource.not-found' } });
    });

    it('answers HEAD, ranges and ETags as HTTP has them, and large files from the store', async () => {
      const url = `${service.url}/beamtime/toy-neox/resolve/step4/config.json`;
      const bytes = await readFile(join(models, 'step4/config.json'));
      const head = await fetch(url, { method: 'HEAD' });
      expect(head.headers.get('content-length')).toBe(String(bytes.length));
      expect(head.headers.get('x-repo-commit')).toMatch(/^[0-9a-f]{40}$/);
      const etag = head.headers.get('etag') ?? '';
      expect((await fetch(url, { headers: { 'if-none-match': etag } })).status).toBe(304);
      const part = await fetch(url, { headers: { range: 'bytes=2-5' } });
      expect([part.status, part.headers.get('content-range')]).toEqual([206, `bytes 2-5/${bytes.length}`]);
      expect(Buffer.from(await part.arrayBuffer())).toEqual(bytes.subarray(2, 6));
      expect((await fetch(url, { headers: { range: `bytes=${bytes.length}-` } })).status).toBe(416);
      const weights = `${service.url}/beamtime/toy-neox/resolve/step4/model.safetensors`;
      expect((await fetch(weights, { method: 'HEAD', redirect: 'manual' })).status).toBe(200);
      const redirected = await fetch(weights, { redirect: 'manual' });
      expect(redirected.status).toBe(302);
      expect(Number(redirected.headers.get('x-linked-size'))).toBeGreaterThan(1024 * 1024);
      const end = await fetch(weights, { headers: { range: 'bytes=-8' } });
      expect(end.status).toBe(206);
      const missing = await fetch(`${service.url}/beamtime/toy-neox/resolve/step4/nothing.txt`);
      expect([missing.status, missing.headers.get('x-error-code')]).toEqual([404, 'EntryNotFound']);
    });

    it('lets every family load, and answers all that its client asks about revisions and files', async () => {
      const families = join(folder, 'families');
      await run(python, ['-c', makeFamilies, families]);
      for (const family of ['llama', 'gpt2', 'bert', 'mamba']) {
        const objective = family === 'bert' ? 'masked' : 'causal';
        const folders = [{ step: 0, folder: join(families, family) }];
        await importFolders(folders, `tiny-${family}`, 'public', { family, objective });
      }
      const { stdout } = await run(python, ['-c', askHub, families], { env: hubEnv() });
      const said = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Record<string, unknown>;
      const { items } = await createApiClient(service.url).call(listRevisions, {
        params: { model: 'toy-neox' },
      });
      const [first, last] = items;
      const tiny = ['bert', 'gpt2', 'llama', 'mamba'].map((family) => `beamtime/tiny-${family}`);
      expect(said).toEqual({
        same: { llama: true, gpt2: true, bert: true, mamba: true },
        branches: { main: last?.commit, step0: first?.commit, step4: last?.commit },
        commits: [
          [last?.commit, 'step4'],
          [first?.commit, 'step0'],
        ],
        before: ['step0'],
        sha: first?.commit,
        files: (await readdir(join(models, 'step0'))).sort(),
        weights: [first?.weightsSha256],
        parameters: { F32: expect.any(Number) },
        exists: [true, false, false],
        listed: ['beamtime/tiny-bert'],
        all: [...tiny, 'beamtime/toy-neox'],
        private: ['beamtime/secret-neox'],
        refusals: [
          [401, false],
          [404, false],
        ],
      });
    });

    it('lists models page by page', async () => {
      const names: string[] = [];
      for (let url: string | undefined = `${service.url}/api/models?limit=2`; url !== undefined; ) {
        const page: Response = await fetch(url);
        names.push(...((await page.json()) as { id: string }[]).map((model) => model.id));
        url = /<([^>]+)>; rel="next"/.exec(page.headers.get('link') ?? '')?.[1];
      }
      expect(names).toHaveLength(5);
      expect(new Set(names).size).toBe(5);
    });

    it('lists files and revisions', async () => {
      const api = `${service.url}/api/models/beamtime/toy-neox`;
      const tree = (await (await fetch(`${api}/tree/step4`)).json()) as { path: string; lfs?: object }[];
      expect(tree.map((entry) => entry.path)).toContain('model.safetensors');
      expect(tree.find((entry) => entry.path === 'model.safetensors')?.lfs).toBeDefined();
      const refs = (await (await fetch(`${api}/refs`)).json()) as { branches: { name: string }[] };
      expect(refs.branches.map((branch) => branch.name)).toEqual(['main', 'step0', 'step4']);
      const info = (await (await fetch(`${api}/revision/step0`)).json()) as {
        id: string;
        pipeline_tag: string;
      };
      expect(info).toMatchObject({ id: 'beamtime/toy-neox', pipeline_tag: 'text-generation' });
    });
  },
);
