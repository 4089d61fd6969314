import { z } from 'zod';

const port = z.coerce.number().int().min(0).max(65_535);

/** The answer of an upstream may take this long, unless its settings say otherwise. */
const upstreamTimeoutMs = 120_000;

/** A service that speaks OpenAI's protocol and answers for closed models. Only the operator names one. */
const upstreamSchema = z
  .strictObject({
    baseUrl: z.url({ protocol: /^https?$/ }).describe('Up to and with /v1'),
    apiKeyEnv: z
      .string()
      .regex(/^[A-Z][A-Z0-9_]{0,99}$/, 'the name of an environment variable, not the key itself')
      .optional()
      .describe('The environment variable that holds the key; absent: it needs none'),
    timeoutMs: z.number().int().min(100).max(600_000).default(upstreamTimeoutMs),
    echoesLogprobs: z
      .boolean()
      .default(false)
      .describe('Whether it scores a given text: echo with max_tokens 0 and log-probabilities'),
  })
  .transform((upstream) => ({ ...upstream, apiKey: undefined as string | undefined }));
export type Upstream = z.output<typeof upstreamSchema>;

const upstreams = z.record(
  z.string().regex(/^[a-z0-9][a-z0-9-]{0,39}$/, 'names of upstreams have lower-case letters, digits and -'),
  upstreamSchema,
);

/** Every setting of every service, from the environment. A wrong one stops the start. */
export const configSchema = z.object({
  DATABASE_URL: z
    .url({ protocol: /^postgres(ql)?$/ })
    .describe('postgres://user:password@host:port/database'),
  REDIS_URL: z.url({ protocol: /^rediss?$/ }),
  BEAMTIME_STATE_DIR: z
    .string()
    .min(1)
    .default('.beamtime')
    .describe('Folder for everything the facility keeps on local disk'),
  BEAMTIME_HOST: z.string().default('127.0.0.1').describe('Address to listen on'),
  PORT: port.default(8420).describe('Port to listen on; 0 takes a free one'),
  BEAMTIME_PUBLIC_URL: z
    .url()
    .optional()
    .describe('The address under which people and agents reach this facility'),
  BEAMTIME_SECRET: z
    .string()
    .min(32, 'at least 32 characters: it signs URLs and cookies')
    .describe('Signs local object URLs and login state; the same in every service'),
  BEAMTIME_EMBEDDED: z
    .stringbool()
    .default(false)
    .describe(
      'Set by the facility when it runs its own PostgreSQL and Redis; only then the local login exists',
    ),
  BEAMTIME_LOCAL_LOGIN: z
    .stringbool()
    .optional()
    .describe('Offer the local login; refused outside the embedded mode'),
  BEAMTIME_LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  BEAMTIME_QUEUE_PREFIX: z
    .string()
    .regex(/^[A-Za-z0-9:_-]{1,80}$/)
    .default('beamtime')
    .describe('Prefix of every key in Redis'),
  BEAMTIME_LEASE_TTL_MS: z.coerce
    .number()
    .int()
    .min(1_000)
    .max(3_600_000)
    .default(30_000)
    .describe(
      'How long an attempt lives without its agent: shorter recovers sooner, longer bears worse networks',
    ),
  BEAMTIME_MIN_RUN_MS: z.coerce
    .number()
    .int()
    .min(1_000)
    .max(24 * 3_600_000)
    .default(30 * 60_000)
    .describe('How long an attempt runs before anyone may ask it to save its state and leave'),
  BEAMTIME_GATEWAY_URLS: z
    .string()
    .default('')
    .describe(
      'Gateways that agents connect served models to, comma separated; by default the facility itself',
    ),
  BEAMTIME_UPSTREAMS: z
    .string()
    .default('{}')
    .transform((text, context) => {
      try {
        return JSON.parse(text) as unknown;
      } catch {
        context.addIssue('is not JSON');
        return z.NEVER;
      }
    })
    .pipe(upstreams)
    .describe(
      'Who answers for closed models, as JSON: {"name": {"baseUrl", "apiKeyEnv", "timeoutMs", "echoesLogprobs"}}',
    ),
  S3_ENDPOINT: z
    .url()
    .optional()
    .describe('S3 server; absent: AWS, or local disk when S3_BUCKET is absent too'),
  S3_PUBLIC_ENDPOINT: z
    .url()
    .optional()
    .describe('Where clients outside reach the same S3 server, if that differs'),
  S3_BUCKET: z.string().min(3).max(63).optional(),
  S3_REGION: z.string().default('us-east-1'),
  S3_ACCESS_KEY_ID: z.string().optional(),
  S3_SECRET_ACCESS_KEY: z.string().optional(),
  OIDC_ISSUER: z.url().optional().describe('OpenID Connect issuer; with OIDC_CLIENT_ID turns on the login'),
  OIDC_CLIENT_ID: z.string().optional(),
  OIDC_CLIENT_SECRET: z.string().optional(),
  OIDC_SECRETARIAT: z
    .string()
    .optional()
    .describe('E-mail addresses, comma separated, that become secretariat at first login'),
});
export type Config = z.output<typeof configSchema>;

/** DI token of the loaded configuration. */
export const CONFIG = Symbol('Config');

export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/** A server that the configuration names does not answer. It may yet: starting again can help. */
export class ServerAwayError extends Error {
  override readonly name = 'ServerAwayError';
}

/** Reads the configuration; throws ConfigError that names each wrong setting and never shows a value. */
export function loadConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const set = Object.fromEntries(
    Object.entries(env).filter(([, value]) => value !== undefined && value !== ''),
  );
  const parsed = configSchema.safeParse(set);
  if (!parsed.success) {
    const lines = parsed.error.issues.map((issue) => `  ${issue.path.join('.')}: ${issue.message}`);
    throw new ConfigError(`The configuration is not valid:\n${lines.join('\n')}`);
  }
  const config = parsed.data;
  if (config.BEAMTIME_LOCAL_LOGIN === true && !config.BEAMTIME_EMBEDDED) {
    throw new ConfigError(
      'BEAMTIME_LOCAL_LOGIN is only for the embedded mode on one machine; set OIDC_ISSUER and OIDC_CLIENT_ID instead',
    );
  }
  for (const [name, upstream] of Object.entries(config.BEAMTIME_UPSTREAMS)) {
    if (upstream.apiKeyEnv === undefined) continue;
    upstream.apiKey = set[upstream.apiKeyEnv];
    if (upstream.apiKey === undefined) {
      throw new ConfigError(`BEAMTIME_UPSTREAMS.${name}.apiKeyEnv: ${upstream.apiKeyEnv} is not set`);
    }
  }
  return config;
}
