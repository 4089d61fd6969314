import { computeSurprisal, createCompletion, listServedModels } from '@beamtime/contracts';
import type { Command } from 'commander';
import type { CliIo } from '../core/cli-io.js';
import { examples } from '../core/examples.js';
import { formatTable } from '../core/format-table.js';
import { UsageError } from '../core/usage-error.js';
import { keyClient, keyHint, keyOption } from './key-client.js';

/** A model may have to be loaded first. */
const answerTimeoutMs = 240_000;
const model = ['<model>', 'name, or name@revision such as udhr-neox-160k-deu-s1@step64'] as const;

function wholeNumber(name: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new UsageError(`--${name} is a whole number from ${least} to ${most}`);
  }
  return value;
}

/** `complete`, `surprisal` and `served`. */
export function registerOutputCommands(program: Command, io: CliIo): void {
  examples(
    program
      .command('complete')
      .description('let a model go on from a text, with the log-probability of each token')
      .argument(...model)
      .argument('<prompt>', 'the text to go on from')
      .option('--max-tokens <n>', 'tokens to generate', '16')
      .option('--temperature <t>', '0 always takes the most probable token', '0')
      .option('--logprobs <n>', 'alternatives to show for each token', '3')
      .option(...keyOption)
      .addHelpText('after', `\n${keyHint}`)
      .action(async (name: string, prompt: string, options: Record<string, string | undefined>) => {
        const temperature = Number(options['temperature']);
        if (!(temperature >= 0 && temperature <= 2))
          throw new UsageError('--temperature is a number from 0 to 2');
        const answer = await keyClient(io, options['key']).call(
          createCompletion,
          {
            body: {
              model: name,
              prompt,
              max_tokens: wholeNumber('max-tokens', options['maxTokens'] ?? '', 1, 32_768),
              temperature,
              logprobs: wholeNumber('logprobs', options['logprobs'] ?? '', 0, 100),
            },
          },
          { timeoutMs: answerTimeoutMs },
        );
        io.show(answer, () => {
          const [choice] = answer.choices;
          const logprobs = choice?.logprobs;
          return `${prompt}${choice?.text ?? ''}\n\n${formatTable(
            ['token', 'log-probability', 'alternatives'],
            (logprobs?.tokens ?? []).map((token, i) => [
              JSON.stringify(token),
              logprobs?.token_logprobs[i]?.toFixed(3) ?? '',
              Object.entries(logprobs?.top_logprobs[i] ?? {})
                .map(([text, value]) => `${JSON.stringify(text)} ${value.toFixed(2)}`)
                .join('  '),
            ]),
            'Nothing was generated',
          )}`;
        });
      }),
    'complete udhr-neox-160k-deu-s1 "Alle Menschen sind" --max-tokens 8',
  );

  examples(
    program
      .command('surprisal')
      .description('how surprising each word of a text is to a model, in bits')
      .argument(...model)
      .argument('<text>', 'the text')
      .option('--unit <unit>', 'token, word or character', 'word')
      .option(...keyOption)
      .addHelpText(
        'after',
        `\n${keyHint}\nWords get the beginning-of-word correction of Pimentel & Meister (2024).`,
      )
      .action(async (name: string, text: string, options: Record<string, string | undefined>) => {
        const unit = options['unit'];
        if (unit !== 'token' && unit !== 'word' && unit !== 'character') {
          throw new UsageError('--unit is token, word or character');
        }
        const answer = await keyClient(io, options['key']).call(
          computeSurprisal,
          { body: { model: name, items: [{ text }], unit, base: '2', entropy: true, rank: true } },
          { timeoutMs: answerTimeoutMs },
        );
        io.show(answer, () =>
          formatTable(
            [unit, 'bits', 'entropy', 'rank'],
            (answer.items[0]?.units ?? []).map((one) => [
              JSON.stringify(one.text),
              one.surprisal.toFixed(3),
              one.entropy?.toFixed(3) ?? '',
              String(one.rank ?? ''),
            ]),
            'The text has no units',
          ),
        );
      }),
    'surprisal udhr-neox-160k-deu-s1@step64 "Alle Menschen sind frei"',
  );

  examples(
    program
      .command('served')
      .description('the models that a key may ask')
      .option(...keyOption)
      .addHelpText('after', `\n${keyHint}`)
      .action(async (options: Record<string, string | undefined>) => {
        const { data } = await keyClient(io, options['key']).call(listServedModels, {});
        io.show(data, () =>
          formatTable(
            ['model'],
            data.map((one) => [one.id]),
            'The allocation covers no model that has weights',
          ),
        );
      }),
    'served --key btk_…',
  );
}
