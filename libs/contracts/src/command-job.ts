/**
 * A job of kind `command`: programs that somebody brings, each in an image, one after the other. The job file is read
 * by the agent's own command runner (`apps/agent/src/command`), not by the Python runner; nothing of a lab's machine is
 * named in it. Paths are those that the programs see; who runs them decides where they lie.
 */
import { z } from 'zod';
import { endpoint, idText, isoTime, sha256Text } from './endpoint.js';
import { workdirPath } from './runner-job.js';

export const commandJobSchemaName = 'beamtime.command-job/1';
/** Below this folder of the workdir lie the files that commands see, each under its own absolute path. */
export const commandRoot = 'root';

/** How a command runner ended, as its exit code; the first three as for the Python runner. */
export const commandExitCodes = {
  done: 0,
  crashed: 1,
  badInput: 2,
  /** A command ended with another exit code than 0: trying again would end the same. */
  commandFailed: 64,
  /** Ended by a signal before the work was done. */
  interrupted: 75,
} as const;

export const commandLimits = {
  executors: 100,
  files: 2_000,
  volumes: 100,
  commandWords: 10_000,
  envVariables: 1_000,
  /** Of one file given literally; the TES specification asks for 128 KiB at least. */
  contentChars: 1_048_576,
  /** Of what a command printed, kept with its exit code; the job's log keeps more. */
  tailChars: 16_384,
  tailCharsTotal: 262_144,
} as const;

/**
 * An absolute path inside a container. Comma, colon, quotes and control characters would have a meaning in the command
 * line of a container engine, and `..` would leave the folder that stands for it.
 */
export const containerPath = z
  .string()
  .min(2)
  .max(1_000)
  .regex(/^\/[^\p{Cc},:"'\\]+$/u, 'an absolute path without , : " \' \\ or control characters')
  .refine((path) => !path.split('/').some((part) => part === '..' || part === '.'), 'a path without . or ..')
  .describe('Absolute, as the commands see it');

const environmentName = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,254}$/, 'letters, digits and _');

export const imageName = z
  .string()
  .min(1)
  .max(500)
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._\-/:@+]*$/,
    'a name of a container image, such as docker.io/library/debian:12',
  );

export const commandExecutor = z.strictObject({
  image: imageName,
  command: z.array(z.string().max(131_072)).min(1).max(commandLimits.commandWords),
  workdir: containerPath.nullable(),
  stdin: containerPath.nullable(),
  stdout: containerPath.nullable(),
  stderr: containerPath.nullable(),
  env: z
    .record(environmentName, z.string().max(131_072))
    .refine((env) => Object.keys(env).length <= commandLimits.envVariables, 'too many variables'),
  ignoreError: z.boolean(),
});
export type CommandExecutor = z.infer<typeof commandExecutor>;

const fileType = z.enum(['FILE', 'DIRECTORY']);
const webUrl = z.url({ protocol: /^https?$/ }).max(4_000);

export const commandOutput = z.strictObject({
  path: containerPath.describe('May hold the wildcards of POSIX, 2.13'),
  url: z.string().max(4_000).describe('beamtime://SPACE/path, or http(s) that takes a PUT'),
  pathPrefix: containerPath.nullable().describe('What is taken away from a match before it joins the url'),
  type: fileType,
});
export type CommandOutput = z.infer<typeof commandOutput>;

const commandParts = {
  kind: z.literal('command'),
  contents: z
    .array(z.strictObject({ path: containerPath, content: z.string().max(commandLimits.contentChars) }))
    .max(commandLimits.files),
  downloads: z
    .array(z.strictObject({ path: containerPath, url: webUrl }))
    .max(commandLimits.files)
    .describe('Fetched by the agent, if its operator allows the host'),
  staged: z
    .array(z.strictObject({ path: containerPath, type: fileType }))
    .max(commandLimits.files)
    .describe('What comes as inputs of the job, below the folder for commands'),
  volumes: z.array(containerPath).max(commandLimits.volumes),
  executors: z.array(commandExecutor).min(1).max(commandLimits.executors),
  outputs: z.array(commandOutput).max(commandLimits.files),
  cpus: z.number().min(0.01).max(100_000).nullable(),
  memoryMiB: z.number().int().min(4).max(1_000_000_000).nullable(),
  diskMiB: z.number().int().min(1).max(1_000_000_000).nullable(),
};

/** The job file without what each attempt brings. */
export const commandTemplate = z.strictObject(commandParts);
export type CommandTemplate = z.infer<typeof commandTemplate>;
export const commandJob = z.strictObject({
  ...commandParts,
  schema: z.literal(commandJobSchemaName),
  jobId: z.string().min(1).max(100),
  attempt: z.int().min(1),
});
export type CommandJob = z.infer<typeof commandJob>;

/** What one command did. */
export const commandResult = z.object({
  index: z.number().int().min(0).max(commandLimits.executors),
  startedAt: isoTime,
  endedAt: isoTime.nullable(),
  exitCode: z
    .number()
    .int()
    .nullable()
    .describe('128 + number of the signal that ended it; null while it runs'),
  stdoutTail: z.string().max(commandLimits.tailChars),
  stderrTail: z.string().max(commandLimits.tailChars),
});
export type CommandResult = z.infer<typeof commandResult>;

/** What the command runner says, one JSON object per line; nothing that a command prints goes there as it is. */
export const commandEvent = z.discriminatedUnion('event', [
  z.strictObject({ event: z.literal('text'), stream: z.enum(['stdout', 'stderr']), text: z.string() }),
  z.strictObject({ event: z.literal('started'), result: commandResult }),
  z.strictObject({ event: z.literal('ended'), result: commandResult }),
  z.strictObject({
    event: z.literal('output'),
    path: z.string(),
    url: z.string(),
    file: workdirPath.describe('Where it lies in the workdir'),
    sizeBytes: z.number().int().min(0),
    sha256: sha256Text,
  }),
  z.strictObject({ event: z.literal('notice'), text: z.string() }),
  z.strictObject({ event: z.literal('failed'), detail: z.string(), exitCode: z.number().int().nullable() }),
]);
export type CommandEvent = z.infer<typeof commandEvent>;

const attemptParams = z.object({ jobId: idText('job'), attempt: z.coerce.number().int().min(1) });
const agentAccess = { kind: 'agent' } as const;
const fencing = ['scheduling.agent-superseded', 'scheduling.attempt-fenced'] as const;
const incarnation = z.number().int().min(1).describe('Given by register');

export const reportCommands = endpoint({
  id: 'agent.commands',
  method: 'POST',
  path: '/agent/attempts/:jobId/:attempt/commands',
  access: agentAccess,
  summary:
    'What the commands of an attempt have done so far, whole each time; an older report changes nothing',
  params: attemptParams,
  body: z.object({
    incarnation,
    seq: z.number().int().min(0).describe('Rises with each report of an attempt'),
    results: z.array(commandResult).max(commandLimits.executors),
    failedIndex: z.number().int().min(0).nullable().describe('The command whose exit code ended the attempt'),
    notices: z.array(z.string().max(2_000)).max(100),
    hostName: z.string().max(255),
  }),
  response: z.object({ taken: z.boolean() }),
  bodyLimitBytes: 8_388_608,
  errors: fencing,
});

export const commitOutputs = endpoint({
  id: 'agent.commit-outputs',
  method: 'POST',
  path: '/agent/attempts/:jobId/:attempt/outputs',
  access: agentAccess,
  summary: 'Outputs of a command job are complete: those of a space become its files, all or none',
  params: attemptParams,
  body: z.object({
    incarnation,
    outputs: z
      .array(
        z.object({
          path: z.string().max(4_000),
          url: z.string().max(4_000),
          sizeBytes: z.number().int().min(0),
          sha256: sha256Text,
        }),
      )
      .min(1)
      .max(commandLimits.files),
  }),
  response: z.object({ committed: z.boolean() }),
  bodyLimitBytes: 8_388_608,
  errors: [
    ...fencing,
    'object-store.not-found',
    'object-store.checksum-mismatch',
    'limit.exceeded',
    'auth.forbidden',
  ],
});
