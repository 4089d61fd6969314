import { randomUUID } from 'node:crypto';
import {
  computeSurprisal as computeSurprisalEndpoint,
  computeSurprisalOfModel,
  createCompletion,
  createCompletionOfModel,
  createEmbeddings,
  createEmbeddingsOfModel,
  type DetokenizeResponse,
  describeTokenizer,
  describeTokenizerOfModel,
  detokenizeIds,
  detokenizeIdsOfModel,
  type InputOf,
  listServedModels,
  type OpenAiCompletion,
  type ResponseOf,
  type TokenizeResponse,
  type TokenizerInfo,
  tokenizeText,
  tokenizeTextOfModel,
} from '@beamtime/contracts';
import {
  completeText,
  completeUpstream,
  computeSurprisal,
  embedText,
  findModel,
  findTalker,
  METERING,
  type Metering,
  MODEL_LOOKUP,
  type ModelLookup,
  ModelServing,
  requireGranted,
  type ServableRevision,
  type ServerCall,
  scoreUpstream,
  tokenizeAnswer,
  Upstreams,
} from '@beamtime/inference';
import {
  type ApiKeyPrincipal,
  Endpoint,
  Gone,
  Input,
  Key,
  ProblemException,
  problemDetails,
  unwrap,
} from '@beamtime/platform';
import { Controller, Inject, Res } from '@nestjs/common';
import type { Response } from 'express';

type Embeddings = ResponseOf<typeof createEmbeddings>;

/** OpenAI's routes, with the model in the body or in the path. */
@Controller()
export class OutputsController {
  constructor(
    @Inject(MODEL_LOOKUP) private readonly models: ModelLookup,
    @Inject(METERING) private readonly metering: Metering,
    @Inject(ModelServing) private readonly serving: ModelServing,
    @Inject(Upstreams) private readonly upstreams: Upstreams,
  ) {}

  @Endpoint(listServedModels)
  async list(@Key() key: ApiKeyPrincipal): Promise<ResponseOf<typeof listServedModels>> {
    const models = await this.models.list(await this.metering.grantedModels(key));
    return {
      object: 'list',
      data: models.map(({ name, readyAt }) => ({
        id: name,
        object: 'model',
        created: Math.floor(readyAt.getTime() / 1000),
        owned_by: 'beamtime',
      })),
    };
  }

  @Endpoint(createCompletion)
  complete(
    @Input() input: InputOf<typeof createCompletion>,
    @Key() key: ApiKeyPrincipal,
    @Gone() gone: AbortSignal,
    @Res() response: Response,
  ): Promise<void> {
    return this.sendCompletion(input.body, undefined, key, gone, response);
  }

  @Endpoint(createCompletionOfModel)
  completeOfModel(
    @Input() input: InputOf<typeof createCompletionOfModel>,
    @Key() key: ApiKeyPrincipal,
    @Gone() gone: AbortSignal,
    @Res() response: Response,
  ): Promise<void> {
    return this.sendCompletion(input.body, input.params.model, key, gone, response);
  }

  @Endpoint(createEmbeddings)
  embed(
    @Input() input: InputOf<typeof createEmbeddings>,
    @Key() key: ApiKeyPrincipal,
    @Gone() gone: AbortSignal,
  ): Promise<Embeddings> {
    return this.embeddings(input.body, undefined, key, gone);
  }

  @Endpoint(createEmbeddingsOfModel)
  embedOfModel(
    @Input() input: InputOf<typeof createEmbeddingsOfModel>,
    @Key() key: ApiKeyPrincipal,
    @Gone() gone: AbortSignal,
  ): Promise<Embeddings> {
    return this.embeddings(input.body, input.params.model, key, gone);
  }

  @Endpoint(computeSurprisalEndpoint)
  surprisal(
    @Input() input: InputOf<typeof computeSurprisalEndpoint>,
    @Key() key: ApiKeyPrincipal,
    @Gone() gone: AbortSignal,
  ) {
    return this.surprisals(input.body, undefined, key, gone);
  }

  @Endpoint(computeSurprisalOfModel)
  surprisalOfModel(
    @Input() input: InputOf<typeof computeSurprisalOfModel>,
    @Key() key: ApiKeyPrincipal,
    @Gone() gone: AbortSignal,
  ) {
    return this.surprisals(input.body, input.params.model, key, gone);
  }

  @Endpoint(tokenizeText)
  tokenize(
    @Input() input: InputOf<typeof tokenizeText>,
    @Key() key: ApiKeyPrincipal,
    @Gone() gone: AbortSignal,
  ) {
    return this.tokens(input.body, undefined, key, gone);
  }

  @Endpoint(tokenizeTextOfModel)
  tokenizeOfModel(
    @Input() input: InputOf<typeof tokenizeTextOfModel>,
    @Key() key: ApiKeyPrincipal,
    @Gone() gone: AbortSignal,
  ) {
    return this.tokens(input.body, input.params.model, key, gone);
  }

  @Endpoint(detokenizeIds)
  detokenize(
    @Input() input: InputOf<typeof detokenizeIds>,
    @Key() key: ApiKeyPrincipal,
    @Gone() gone: AbortSignal,
  ) {
    return this.text(input.body, undefined, key, gone);
  }

  @Endpoint(detokenizeIdsOfModel)
  detokenizeOfModel(
    @Input() input: InputOf<typeof detokenizeIdsOfModel>,
    @Key() key: ApiKeyPrincipal,
    @Gone() gone: AbortSignal,
  ) {
    return this.text(input.body, input.params.model, key, gone);
  }

  @Endpoint(describeTokenizer)
  tokenizerInfo(
    @Input() input: InputOf<typeof describeTokenizer>,
    @Key() key: ApiKeyPrincipal,
    @Gone() gone: AbortSignal,
  ) {
    return this.tokenizer(input.query.model, key, gone);
  }

  @Endpoint(describeTokenizerOfModel)
  tokenizerInfoOfModel(
    @Input() input: InputOf<typeof describeTokenizerOfModel>,
    @Key() key: ApiKeyPrincipal,
    @Gone() gone: AbortSignal,
  ) {
    return this.tokenizer(input.params.model, key, gone);
  }

  private async sendCompletion(
    request: InputOf<typeof createCompletion>['body'],
    model: string | undefined,
    caller: ApiKeyPrincipal,
    signal: AbortSignal,
    response: Response,
  ): Promise<void> {
    const target = unwrap(await findTalker(this.models, request.model, model));
    const call = { requestId: `cmpl-${randomUUID()}`, caller, request, signal };
    const complete = (more: { onChunk?: (chunk: OpenAiCompletion) => void }) =>
      target.kind === 'closed'
        ? completeUpstream(this.upstreams, this.metering, { ...call, target, ...more })
        : completeText(this.serving, this.metering, { ...call, target, ...more });
    if (request.stream !== true) {
      response.json(unwrap(await complete({})));
      return;
    }
    const send = (data: unknown) =>
      response.write(`data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`);
    const onChunk = (chunk: OpenAiCompletion) => {
      if (!response.headersSent) response.type('text/event-stream').setHeader('cache-control', 'no-store');
      send(chunk);
    };
    const done = await complete({ onChunk });
    // Before the first chunk a refusal is an ordinary error; after it, the stream has to carry it.
    if (!done.ok && !response.headersSent) throw new ProblemException(done.error);
    if (!response.headersSent) response.type('text/event-stream');
    if (done.ok) send({ ...done.value, choices: [] });
    else send({ error: problemDetails(new ProblemException(done.error)) });
    send('[DONE]');
    response.end();
  }

  private async embeddings(
    request: InputOf<typeof createEmbeddings>['body'],
    model: string | undefined,
    caller: ApiKeyPrincipal,
    signal: AbortSignal,
  ): Promise<Embeddings> {
    const target = unwrap(await findModel(this.models, request.model, model));
    const inputs =
      typeof request.input === 'string'
        ? [request.input]
        : typeof request.input[0] === 'number'
          ? [request.input as number[]]
          : (request.input as (string | number[])[]);
    const { value, usage } = unwrap(
      await embedText(this.serving, this.metering, {
        requestId: `emb-${randomUUID()}`,
        caller,
        target,
        inputs,
        signal,
      }),
    );
    return {
      object: 'list',
      model: `${target.modelName}@${target.revision}`,
      data: value.embeddings.map((embedding, index) => ({
        object: 'embedding',
        index,
        embedding:
          request.encoding_format === 'base64'
            ? Buffer.from(new Float32Array(embedding).buffer).toString('base64')
            : embedding,
      })),
      usage: { prompt_tokens: value.usage.promptTokens, total_tokens: value.usage.promptTokens },
      beamtime: { receipt: value.receipt, usage },
    };
  }

  private async surprisals(
    body: InputOf<typeof computeSurprisalEndpoint>['body'],
    model: string | undefined,
    caller: ApiKeyPrincipal,
    signal: AbortSignal,
  ): Promise<ResponseOf<typeof computeSurprisalEndpoint>> {
    const { model: named, ...request } = body;
    const target = unwrap(await findTalker(this.models, named, model));
    const call = { requestId: `sur-${randomUUID()}`, caller, request, signal };
    const { value, usage } =
      target.kind === 'closed'
        ? unwrap(await scoreUpstream(this.upstreams, this.metering, { ...call, target }))
        : unwrap(await computeSurprisal(this.serving, this.metering, { ...call, target }));
    return { ...value, usage };
  }

  private async tokens(
    body: InputOf<typeof tokenizeText>['body'],
    model: string | undefined,
    caller: ApiKeyPrincipal,
    signal: AbortSignal,
  ) {
    const target = await this.granted(caller, body.model, model);
    const answer = await this.free<TokenizeResponse>(target, signal, {
      method: 'POST',
      path: '/tokenize',
      body: { revision: target.revision, texts: [body.prompt ?? body.text ?? ''] },
    });
    return tokenizeAnswer(answer);
  }

  private async text(
    body: InputOf<typeof detokenizeIds>['body'],
    model: string | undefined,
    caller: ApiKeyPrincipal,
    signal: AbortSignal,
  ) {
    const target = await this.granted(caller, body.model, model);
    const answer = await this.free<DetokenizeResponse>(target, signal, {
      method: 'POST',
      path: '/detokenize',
      body: { revision: target.revision, tokenIds: [body.tokens] },
    });
    const text = answer.texts[0] ?? '';
    return { prompt: text, text };
  }

  private async tokenizer(model: string | undefined, caller: ApiKeyPrincipal, signal: AbortSignal) {
    const target = await this.granted(caller, model);
    const info = await this.free<TokenizerInfo>(target, signal, {
      method: 'GET',
      path: `/tokenizer_info?revision=${encodeURIComponent(target.revision)}`,
    });
    return {
      tokenizer_class: info.tokenizerClass,
      vocab_size: info.vocabSize,
      model_max_length: info.contextTokens,
      eos_token: info.eosToken,
      bos_token: info.bosToken,
      pad_token: info.padToken,
      chat_template: info.chatTemplate,
    };
  }

  /** The model, if the allocation covers it: for what costs nothing and therefore makes no hold. */
  private async granted(
    caller: ApiKeyPrincipal,
    ...named: (string | undefined)[]
  ): Promise<ServableRevision> {
    const target = unwrap(await findModel(this.models, ...named));
    unwrap(requireGranted(await this.metering.grantedModels(caller), target));
    return target;
  }

  private async free<T>(
    target: ServableRevision,
    signal: AbortSignal,
    call: Omit<ServerCall, 'timeoutMs'>,
  ): Promise<T> {
    return unwrap(await this.serving.callJson<T>(target.modelId, { ...call, signal }));
  }
}
