import type { CompletionChoice, OpenAiCompletionRequest } from '@beamtime/contracts';
import { openAiCompletionRequest } from '@beamtime/contracts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  outputTokensAtMost,
  outputTokensUsed,
  promptsOf,
  toOpenAiChoice,
  toRunnerCompletion,
} from './completion-wire.js';

const request = (fields: Partial<OpenAiCompletionRequest>): OpenAiCompletionRequest =>
  openAiCompletionRequest.parse({ model: 'm', prompt: 'x', ...fields });

describe('the completion wire', () => {
  it("takes each of OpenAI's four forms of a prompt", () => {
    expect(promptsOf('a')).toEqual(['a']);
    expect(promptsOf(['a', 'b'])).toEqual(['a', 'b']);
    expect(promptsOf([1, 2])).toEqual([[1, 2]]);
    expect(promptsOf([[1], [2, 3]])).toEqual([[1], [2, 3]]);
  });

  it('translates the request of lm-eval word by word', () => {
    const sent = request({
      prompt: [
        [5, 6, 7],
        [8, 9],
      ],
      temperature: 0,
      max_tokens: 1,
      logprobs: 1,
      seed: 1234,
      echo: true,
    });
    expect(toRunnerCompletion(sent, 'step8')).toEqual({
      revision: 'step8',
      prompts: [
        [5, 6, 7],
        [8, 9],
      ],
      maxTokens: 1,
      temperature: 0,
      topP: 1,
      logprobs: 1,
      echo: true,
      seed: 1234,
      stream: false,
    });
    expect(outputTokensAtMost(sent)).toBe(2 + 5);
  });

  it('never lets a request use more than was held for it', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 40 });
    fc.assert(
      fc.property(
        fc.array(text, { minLength: 1, maxLength: 5 }),
        fc.nat(50),
        fc.boolean(),
        (prompts, max, echo) => {
          const sent = request({ prompt: prompts, max_tokens: max, echo });
          // The worst tokenizer makes one token of each byte, and one more for the start.
          const promptTokens = prompts.reduce((sum, prompt) => sum + Buffer.byteLength(prompt) + 1, 0);
          const used = outputTokensUsed(sent, { promptTokens, outputTokens: max * prompts.length });
          expect(used).toBeLessThanOrEqual(outputTokensAtMost(sent));
        },
      ),
    );
  });

  it('keeps the more probable of two alternatives that print alike', () => {
    const choice: CompletionChoice = {
      index: 0,
      text: 'ab',
      tokenIds: [1, 2],
      tokens: ['a', 'b'],
      textOffsets: [0, 1],
      tokenLogprobs: [null, -0.5],
      topLogprobs: [
        null,
        [
          { tokenId: 2, token: 'b', logprob: -0.5 },
          { tokenId: 9, token: 'b', logprob: -3 },
        ],
      ],
      finishReason: 'length',
      promptTokens: 1,
      outputTokens: 1,
    };
    expect(toOpenAiChoice(choice).logprobs).toEqual({
      tokens: ['a', 'b'],
      token_logprobs: [null, -0.5],
      top_logprobs: [null, { b: -0.5 }],
      text_offset: [0, 1],
    });
  });
});
