/**
 * `jaf/memory/otel`: spans and metrics of every provider in this process, for OpenTelemetry. Needs the package
 * `@opentelemetry/api`, which nothing else of jaf loads.
 *
 * @module
 */
import {
  type Attributes,
  context,
  type MeterProvider,
  metrics as globalMetrics,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace as globalTrace,
  type TracerProvider,
} from '@opentelemetry/api';
import { createHmac, randomBytes } from 'node:crypto';
import { subscribe, tracingChannel, unsubscribe } from 'node:diagnostics_channel';
import { MemoryConfigError } from './errors.js';
import type { MemoryOperation } from './telemetry.js';
import type { MemoryEvent } from './types.js';

/** Name and version of the instrumentation scope. */
const SCOPE = 'jaf/memory';
/** Names of the conventions for systems they know; others stand for themselves. */
const SYSTEMS: Readonly<Record<string, string>> = { postgres: 'postgresql' };
/** Bounds in seconds that the conventions advise for `db.client.operation.duration`. */
const SECONDS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10];
const WRITES: ReadonlySet<string> = new Set(['storeMessages', 'appendMessages', 'restoreConversation']);

/** Where spans and metrics go, and what they say of ids. */
export interface InstrumentMemoryOptions {
  /** A `TracerProvider` of `@opentelemetry/api`; default: the global one. */
  readonly tracerProvider?: { getTracer(name: string, version?: string): unknown } | undefined;
  /** A `MeterProvider` of `@opentelemetry/api`; default: the global one. */
  readonly meterProvider?: { getMeter(name: string, version?: string): unknown } | undefined;
  /**
   * What spans say of conversation and user ids (metrics never name one): `off` (default) nothing; `hash` an HMAC under `key`,
   * as `jaf.conversation.hash` and `user.hash`; `plain` the ids, as `jaf.conversation.id` and `user.id`.
   */
  readonly ids?: 'off' | 'hash' | 'plain' | undefined;
  /** Secret of the hashes; the same in every process whose spans should agree. Default: a new random one. */
  readonly key?: string | undefined;
}

/** An instrumentation that is running; `using` ends it too. */
export interface MemoryInstrumentation extends Disposable {
  /** Ends it: operations that are under way get no end of their span. Idempotent. */
  stop(): void;
}

/**
 * Makes a span of kind CLIENT for each call of a provider's method, by the semantic conventions for databases, below the span
 * that is active where the method is called; measures `db.client.operation.duration` (s), and counts
 * `jaf.memory.messages.written`, `jaf.memory.messages.read` and `jaf.memory.events`. No message content, no metadata.
 *
 * @param options - see {@link InstrumentMemoryOptions}
 * @returns what ends it
 * @throws MemoryConfigError naming the option that is wrong
 * @example
 * import { instrumentMemory } from 'jaf/memory/otel';
 * const instrumentation = instrumentMemory({ ids: 'hash', key: process.env.TELEMETRY_KEY });
 */
export function instrumentMemory(options: InstrumentMemoryOptions = {}): MemoryInstrumentation {
  const { ids = 'off', key } = checked(options);
  const tracers = (options.tracerProvider as TracerProvider | undefined) ?? globalTrace.getTracerProvider();
  const meters = (options.meterProvider as MeterProvider | undefined) ?? globalMetrics.getMeterProvider();
  const tracer = tracers.getTracer(SCOPE);
  const meter = meters.getMeter(SCOPE);
  const duration = meter.createHistogram('db.client.operation.duration', {
    description: 'Duration of calls of a conversation memory.',
    unit: 's',
    advice: { explicitBucketBoundaries: SECONDS },
  });
  const written = meter.createCounter('jaf.memory.messages.written', { description: 'Messages stored.', unit: '{message}' });
  const read = meter.createCounter('jaf.memory.messages.read', { description: 'Messages read.', unit: '{message}' });
  const told = meter.createCounter('jaf.memory.events', { description: 'Events a provider told.', unit: '{event}' });
  const idsOf = idAttributes(ids, key);
  const spans = new WeakMap<MemoryOperation, Span>();

  const handlers = {
    start(note: MemoryOperation): void {
      const attributes = attributesOf(note);
      const parent = context.active();
      spans.set(note, tracer.startSpan(nameOf(note), { kind: SpanKind.CLIENT, attributes }, parent));
    },
    end: () => undefined,
    asyncStart: () => undefined,
    error: () => undefined,
    asyncEnd(note: MemoryOperation): void {
      const span = spans.get(note);
      // it began before we did
      if (!span) return;
      spans.delete(note);
      span.setAttributes({ ...idsOf(note), ...countsOf(note) });
      if (note.code !== undefined) {
        span.setAttribute('error.type', note.code);
        // no text: that of an error may name an id
        span.setStatus({ code: SpanStatusCode.ERROR });
      }
      span.end();
      const attributes = { ...attributesOf(note), ...(note.code === undefined ? {} : { 'error.type': note.code }) };
      duration.record((note.milliseconds ?? 0) / 1000, attributes);
      if (note.messages) (WRITES.has(note.operation) ? written : read).add(note.messages, attributes);
    },
  };
  const onEvent = (message: unknown): void => {
    const { type, provider } = message as MemoryEvent;
    told.add(1, { 'jaf.event.type': type, 'db.system.name': SYSTEMS[provider] ?? provider });
  };
  const operations = tracingChannel<unknown, MemoryOperation>('jaf:memory');
  operations.subscribe(handlers);
  subscribe('jaf:memory:event', onEvent);
  const stop = (): void => {
    operations.unsubscribe(handlers);
    unsubscribe('jaf:memory:event', onEvent);
  };
  return { stop, [Symbol.dispose]: stop };
}

const EXPECTED = {
  tracerProvider: 'a TracerProvider',
  meterProvider: 'a MeterProvider',
  ids: "'off', 'hash' or 'plain'",
  key: 'a text that is not empty',
} as const;

/** @throws MemoryConfigError */
function checked(options: InstrumentMemoryOptions): InstrumentMemoryOptions {
  const { tracerProvider, meterProvider, ids, key } = options;
  const wrong: Readonly<Record<keyof typeof EXPECTED, boolean>> = {
    tracerProvider: tracerProvider !== undefined && typeof tracerProvider.getTracer !== 'function',
    meterProvider: meterProvider !== undefined && typeof meterProvider.getMeter !== 'function',
    ids: ids !== undefined && ids !== 'off' && ids !== 'hash' && ids !== 'plain',
    key: key !== undefined && (typeof key !== 'string' || key === ''),
  };
  for (const name of Object.keys(options)) {
    const known = Object.hasOwn(EXPECTED, name);
    if (known && !wrong[name as keyof typeof EXPECTED]) continue;
    const why = known ? `expected ${EXPECTED[name as keyof typeof EXPECTED]}` : 'no such setting';
    const advice = known ? '' : ` Known settings: ${Object.keys(EXPECTED).join(', ')}.`;
    throw new MemoryConfigError(`instrumentMemory "${name}": ${why}.${advice}`, { provider: 'none', setting: name });
  }
  return options;
}

/** `appendMessages conversations`: the operation and the most precise place that is known. */
function nameOf({ operation, provider, target }: MemoryOperation): string {
  return `${operation} ${target?.collection ?? target?.namespace ?? SYSTEMS[provider] ?? provider}`;
}

/** What spans and metrics share: few values each. */
function attributesOf({ provider, operation, target }: MemoryOperation): Attributes {
  return {
    'db.system.name': SYSTEMS[provider] ?? provider,
    'db.operation.name': operation,
    ...(target?.namespace === undefined ? {} : { 'db.namespace': target.namespace }),
    ...(target?.collection === undefined ? {} : { 'db.collection.name': target.collection }),
    ...(target?.address === undefined ? {} : { 'server.address': target.address }),
    ...(target?.port === undefined ? {} : { 'server.port': target.port }),
  };
}

function countsOf({ messages, conversations, duplicate }: MemoryOperation): Attributes {
  return {
    ...(messages === undefined ? {} : { 'jaf.messages': messages }),
    ...(conversations === undefined ? {} : { 'jaf.conversations': conversations }),
    ...(duplicate === undefined ? {} : { 'jaf.duplicate': duplicate }),
  };
}

function idAttributes(ids: 'off' | 'hash' | 'plain', key: string | undefined): (note: MemoryOperation) => Attributes {
  if (ids === 'off') return () => ({});
  const secret = key ?? randomBytes(32);
  const [suffix, shown] =
    ids === 'plain'
      ? ['id', (id: string): string => id]
      : ['hash', (id: string): string => createHmac('sha256', secret).update(id).digest('base64url').slice(0, 22)];
  return ({ conversationId, userId }) => ({
    ...(conversationId === undefined ? {} : { [`jaf.conversation.${suffix}`]: shown(conversationId) }),
    ...(userId === undefined ? {} : { [`user.${suffix}`]: shown(userId) }),
  });
}
