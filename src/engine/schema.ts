/**
 * Schemas: Standard Schemas (zod 4, arktype …) and plain JSON Schema objects, as the engine needs them: a JSON Schema to
 * show to the model and a check for what it sends back.
 *
 * @module
 */
import { configError } from './errors.js';

/** A checked value, or what is wrong with it (one line each, never the value). */
export type Checked = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly problems: readonly string[] };

/** A schema ready for use. */
export interface ResolvedSchema {
  /** For the model: what it has to send. */
  readonly jsonSchema: object;
  check(value: unknown): Promise<Checked>;
}

/** The part of the Standard Schema interface that is used (https://standardschema.dev). */
interface StandardProps {
  readonly vendor?: unknown;
  validate(value: unknown): unknown;
  readonly jsonSchema?: { input?(options: { target: string }): unknown };
}

/** What a Standard Schema turns its input into; `unknown` for anything else. */
export type SchemaOutput<S> = S extends { readonly '~standard': { readonly types?: { readonly output: infer Out } | undefined } }
  ? Out
  : unknown;

const JSON_SCHEMA_KEYS = ['type', 'properties', '$ref', 'anyOf', 'oneOf', 'allOf', 'enum', 'const'];

function standardOf(schema: object): StandardProps | undefined {
  const props = (schema as { '~standard'?: unknown })['~standard'];
  return typeof props === 'object' && props !== null && typeof (props as StandardProps).validate === 'function'
    ? (props as StandardProps)
    : undefined;
}

/**
 * @param schema - what the user gave
 * @param where - names it in the error, e.g. `tool "get_weather": parameters`
 * @throws MemoryConfigError when it is neither a Standard Schema nor a JSON Schema
 */
export function assertSchema(schema: unknown, where: string): asserts schema is object {
  if ((typeof schema === 'object' && schema !== null) || typeof schema === 'function') {
    if (standardOf(schema) || JSON_SCHEMA_KEYS.some((key) => Object.hasOwn(schema, key))) return;
  }
  throw configError(
    where,
    `${where}: expected a Standard Schema (e.g. z.object({ … }) of zod 4) or a JSON Schema object, got ${schema === null ? 'null' : typeof schema}.`,
  );
}

const resolved = new WeakMap<object, Promise<ResolvedSchema>>();

/**
 * @param schema - a Standard Schema or a JSON Schema object
 * @param where - names it in errors
 * @throws MemoryConfigError when it cannot be shown to a model as JSON Schema
 */
export async function resolveSchema(schema: unknown, where: string): Promise<ResolvedSchema> {
  assertSchema(schema, where);
  const known = resolved.get(schema);
  if (known) return known;
  const standard = standardOf(schema);
  const made = standard ? resolveStandard(schema, standard, where) : Promise.resolve(resolveJson(schema));
  // a failure may be cured (a missing package); only what worked is kept
  const result = await made;
  resolved.set(schema, made);
  return result;
}

async function resolveStandard(schema: object, standard: StandardProps, where: string): Promise<ResolvedSchema> {
  const jsonSchema = await describe(schema, standard, where);
  return {
    jsonSchema,
    async check(value) {
      const result = (await standard.validate(value)) as { readonly value?: unknown; readonly issues?: readonly unknown[] };
      return result.issues ? { ok: false, problems: result.issues.map(problemText) } : { ok: true, value: result.value };
    },
  };
}

/** The JSON Schema of a Standard Schema's input, by the first way it offers. */
async function describe(schema: object, standard: StandardProps, where: string): Promise<object> {
  try {
    const offered = standard.jsonSchema?.input?.({ target: 'draft-07' }) ?? ownConverter(schema) ?? (await zodConverter(schema, standard));
    if (typeof offered === 'object' && offered !== null) return withoutDialect(offered);
  } catch (cause) {
    const error = configError(
      where,
      `${where}: cannot be expressed as JSON Schema for the model: ${cause instanceof Error ? cause.message : 'unknown reason'}`,
    );
    error.cause = cause;
    throw error;
  }
  throw configError(
    where,
    `${where}: this schema of "${String(standard.vendor)}" cannot describe itself as JSON Schema. Use zod 4 or later, or a plain JSON Schema object.`,
  );
}

/** `toJSONSchema()` of zod, `toJsonSchema()` of arktype. */
function ownConverter(schema: object): unknown {
  const { toJSONSchema, toJsonSchema } = schema as { toJSONSchema?: unknown; toJsonSchema?: unknown };
  const convert = typeof toJSONSchema === 'function' ? toJSONSchema : toJsonSchema;
  return typeof convert === 'function' ? (convert as (options: object) => unknown).call(schema, { io: 'input' }) : undefined;
}

/** zod 4.0 and 4.1 have the conversion only as a function of the package. */
async function zodConverter(schema: object, standard: StandardProps): Promise<unknown> {
  if (standard.vendor !== 'zod' || !('_zod' in schema)) return undefined;
  const zod = (await import('zod')) as { toJSONSchema?: (schema: never, options: object) => unknown };
  return zod.toJSONSchema?.(schema as never, { io: 'input' });
}

/** Some model servers refuse the dialect's key. */
function withoutDialect(schema: object): object {
  const { $schema: _dialect, ...rest } = schema as { $schema?: unknown };
  return rest;
}

/** A plain JSON Schema: objects are checked for their type and required keys, the rest is the tool's own business. */
function resolveJson(schema: object): ResolvedSchema {
  const { type, required } = schema as { type?: unknown; required?: unknown };
  const keys = Array.isArray(required) ? required.filter((key) => typeof key === 'string') : [];
  return {
    jsonSchema: schema,
    check(value) {
      const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
      const problems =
        type === 'object' && !isObject
          ? ['expected an object']
          : isObject
            ? keys.filter((key) => !Object.hasOwn(value, key)).map((key) => `${key}: required`)
            : [];
      return Promise.resolve(problems.length > 0 ? { ok: false, problems } : { ok: true, value });
    },
  };
}

function problemText(issue: unknown): string {
  const { message, path } = issue as { message?: unknown; path?: readonly unknown[] };
  const steps = (path ?? []).map((step) => String(typeof step === 'object' && step !== null ? (step as { key?: unknown }).key : step));
  const text = typeof message === 'string' ? message : 'invalid';
  return steps.length > 0 ? `${steps.join('.')}: ${text}` : text;
}
