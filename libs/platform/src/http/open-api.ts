import { type EndpointSpec, problemDetailsSchema } from '@beamtime/contracts';
import { z } from 'zod';

type Json = Record<string, unknown>;

function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): Json {
  const made = z.toJSONSchema(schema, { io, unrepresentable: 'any', target: 'draft-2020-12' }) as Json;
  delete made['$schema'];
  return hoistDefs(made);
}

/** JSON Schema keeps named parts in `$defs`; OpenAPI keeps them in `components`. */
function hoistDefs(schema: Json): Json {
  const text = JSON.stringify(schema).replaceAll('"#/$defs/', '"#/components/schemas/');
  return JSON.parse(text) as Json;
}

function parameters(schema: z.ZodType | undefined, where: 'path' | 'query'): Json[] {
  if (schema === undefined) return [];
  const { properties = {}, required = [] } = jsonSchema(schema, 'input') as {
    properties?: Record<string, Json>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, property]) => ({
    name,
    in: where,
    required: where === 'path' || required.includes(name),
    schema: property,
    ...(property['description'] === undefined ? {} : { description: property['description'] }),
  }));
}

function accessText(spec: EndpointSpec): string {
  const { access } = spec;
  switch (access.kind) {
    case 'public':
      return `Public: ${access.why}.`;
    case 'person':
      return access.roles === undefined
        ? 'Any logged-in person.'
        : `A person with role ${access.roles.join(' or ')}.`;
    case 'agent':
      return 'The agent of a cluster.';
    case 'api-key':
      return `An API key of an allocation${access.scope === undefined ? '' : ` with scope \`${access.scope}\``}.`;
    case 'person-or-api-key':
      return 'A logged-in person or an API key.';
  }
}

function operation(spec: EndpointSpec, defs: Json): Json {
  const take = (schema: z.ZodType, io: 'input' | 'output'): Json => {
    const made = jsonSchema(schema, io);
    Object.assign(defs, made['$defs'] ?? {});
    delete made['$defs'];
    return made;
  };
  const content =
    spec.produces === undefined
      ? { 'application/json': { schema: take(spec.response, 'output') } }
      : { [spec.produces]: {} };
  const status = spec.status ?? 200;
  return {
    operationId: spec.id,
    tags: [spec.id.split('.')[0]],
    summary: spec.summary,
    description: [
      spec.description,
      `Who: ${accessText(spec)}`,
      spec.errors?.length ? `Problems: ${spec.errors.map((e) => `\`${e}\``).join(', ')}.` : undefined,
    ]
      .filter((line) => line !== undefined)
      .join('\n\n'),
    security: spec.access.kind === 'public' ? [] : [{ bearer: [] }],
    parameters: [...parameters(spec.params, 'path'), ...parameters(spec.query, 'query')],
    ...(spec.consumes !== undefined
      ? { requestBody: { required: true, content: { [spec.consumes]: {} } } }
      : spec.body === undefined
        ? {}
        : {
            requestBody: {
              required: true,
              content: { 'application/json': { schema: take(spec.body, 'input') } },
            },
          }),
    responses: {
      [String(status)]: { description: 'Success', ...(status === 204 ? {} : { content }) },
      default: {
        description: 'A problem',
        content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    },
  };
}

/** The OpenAPI 3.1 document of these endpoints, made from the schemas that validate them. */
export function openApiDocument(specs: readonly EndpointSpec[], title: string, version: string): Json {
  const problem = jsonSchema(problemDetailsSchema, 'output');
  delete problem['$defs'];
  delete problem['id'];
  const defs: Json = { Problem: problem };
  const paths: Record<string, Json> = {};
  for (const spec of specs) {
    const path = spec.path.replace(/\\:|[:*]([A-Za-z]+)/g, (_, name?: string) =>
      name === undefined ? ':' : `{${name}}`,
    );
    paths[path] = { ...paths[path], [spec.method.toLowerCase()]: operation(spec, defs) };
  }
  return {
    openapi: '3.1.0',
    info: { title, version, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
    paths,
    components: { schemas: defs, securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } } },
  };
}
