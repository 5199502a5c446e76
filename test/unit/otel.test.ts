// jaf/memory/otel with the real SDK: spans, metrics, parents, and what must not be in them.
import { context, type Span, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { AggregationTemporality, InMemoryMetricExporter, MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { BasicTracerProvider, InMemorySpanExporter, type ReadableSpan, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { createInMemoryProvider, createProvider, createSqliteProvider, type MemoryProvider, user } from 'jaf/memory';
import { type InstrumentMemoryOptions, instrumentMemory } from 'jaf/memory/otel';
import { faulty, fakeClock, inMemoryBackend } from 'jaf/memory/testing';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, onTestFinished } from 'vitest';

const SECRET = 'my pin is 4711';
const spans = new InMemorySpanExporter();
const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] });
let meters: { provider: MeterProvider; exporter: InMemoryMetricExporter };
let provider: MemoryProvider;

beforeAll(() => void context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable()));
afterAll(async () => {
  context.disable();
  await tracerProvider.shutdown();
});
beforeEach(() => {
  spans.reset();
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
  meters = { exporter, provider: new MeterProvider({ readers: [reader] }) };
  provider = createInMemoryProvider();
});
afterEach(async () => {
  await provider.close();
  await meters.provider.shutdown();
});

const instrument = (options: InstrumentMemoryOptions = {}): { stop(): void } => {
  const running = instrumentMemory({ tracerProvider, meterProvider: meters.provider, ...options });
  onTestFinished(() => running.stop());
  return running;
};

interface Point {
  readonly attributes: Record<string, unknown>;
  readonly value: number | { count: number; sum: number; buckets: { boundaries: number[] } };
}
async function metric(name: string): Promise<{ unit: string; points: readonly Point[] }> {
  meters.exporter.reset();
  await meters.provider.forceFlush();
  const found = meters.exporter
    .getMetrics()
    .flatMap((resource) => resource.scopeMetrics)
    .flatMap((scope) => scope.metrics)
    .find((one) => one.descriptor.name === name);
  return { unit: found?.descriptor.unit ?? '', points: (found?.dataPoints ?? []) as unknown as readonly Point[] };
}
const span = (operation: string): ReadableSpan => {
  const found = spans.getFinishedSpans().find((one) => one.attributes['db.operation.name'] === operation);
  if (!found) throw new Error(`no span of ${operation}`);
  return found;
};

it('makes a client span below the active one, also when other work goes on', async () => {
  instrument();
  const tracer = tracerProvider.getTracer('test');
  const parents: Span[] = [];
  await Promise.all(
    ['a', 'b', 'c'].map((id) =>
      tracer.startActiveSpan(id, async (parent) => {
        parents.push(parent);
        await new Promise((turn) => setImmediate(turn));
        await provider.appendMessages(id, [user(SECRET)], {}, { createIfMissing: true });
        for await (const one of provider.iterateConversations()) expect(one.messageCount).toBe(1);
        parent.end();
      }),
    ),
  );
  await provider.getConversation('a');
  for (const parent of parents) {
    const { traceId, spanId } = parent.spanContext();
    const children = spans.getFinishedSpans().filter((one) => one.parentSpanContext?.spanId === spanId);
    expect(children.map((one) => [one.name, one.kind, one.spanContext().traceId])).toEqual([
      ['appendMessages memory', SpanKind.CLIENT, traceId],
      ['iterateConversations memory', SpanKind.CLIENT, traceId],
    ]);
  }
  expect(span('getConversation').parentSpanContext).toBeUndefined();
  expect(trace.getActiveSpan()).toBeUndefined();
});

it('names the system, the operation and the counts; no ids and no content', async () => {
  await using file = await createSqliteProvider({ path: ':memory:' });
  instrument();
  await file.appendMessages('chat-of-ann', [user(SECRET), user('2')], { note: SECRET }, { createIfMissing: true, userId: 'ann' });
  await file.forUser('ann').getRecentMessages('chat-of-ann');
  const place = { 'db.system.name': 'sqlite', 'db.namespace': ':memory:' };
  expect(span('appendMessages')).toMatchObject({ name: 'appendMessages :memory:', status: { code: SpanStatusCode.UNSET } });
  expect(span('appendMessages').attributes).toEqual({
    ...place,
    'db.operation.name': 'appendMessages',
    'jaf.messages': 2,
    'jaf.duplicate': false,
  });
  expect(span('getRecentMessages').attributes).toEqual({ ...place, 'db.operation.name': 'getRecentMessages', 'jaf.messages': 2 });
  const all = spans.getFinishedSpans().map(({ name, attributes, events, status }) => ({ name, attributes, events, status }));
  for (const text of ['ann', '4711']) expect(JSON.stringify(all)).not.toContain(text);
});

it('hashes ids under the key, or shows them, when it is told to', async () => {
  const options = { userId: 'ann', createIfMissing: true };
  const attributesWith = async (telemetry: InstrumentMemoryOptions): Promise<Record<string, unknown>> => {
    spans.reset();
    const running = instrument(telemetry);
    await provider.appendMessages('chat-1', [user('Hi')], {}, options);
    running.stop();
    return span('appendMessages').attributes;
  };
  expect(await attributesWith({ ids: 'plain' })).toMatchObject({ 'jaf.conversation.id': 'chat-1', 'user.id': 'ann' });
  const hashed = await attributesWith({ ids: 'hash', key: 'k1' });
  expect(hashed).toMatchObject({
    'jaf.conversation.hash': expect.stringMatching(/^[\w-]{22}$/) as string,
    'user.hash': expect.stringMatching(/^[\w-]{22}$/) as string,
  });
  expect(JSON.stringify(hashed)).not.toMatch(/ann|chat-1/);
  expect(await attributesWith({ ids: 'hash', key: 'k1' })).toEqual(hashed);
  expect((await attributesWith({ ids: 'hash', key: 'k2' }))['user.hash']).not.toBe(hashed['user.hash']);
  expect((await attributesWith({ ids: 'hash' }))['user.hash']).not.toBe(hashed['user.hash']);
});

it('marks what failed with the code of the error, without its text', async () => {
  instrument({ ids: 'off' });
  await provider.appendMessages('chat-of-ann', [user(SECRET)]);
  const clock = fakeClock();
  const cut = faulty(await inMemoryBackend().create(clock), () => 'fail');
  const broken = createProvider(cut, { deadline: 20 });
  await expect(broken.getConversation('c')).rejects.toMatchObject({ code: 'refused' });
  await broken.close();
  expect(span('appendMessages').status).toEqual({ code: SpanStatusCode.ERROR });
  expect(span('appendMessages').attributes['error.type']).toBe('not_found');
  expect(span('getConversation').attributes['error.type']).toBe('refused');
  expect(JSON.stringify(spans.getFinishedSpans().map(({ attributes, events, status }) => [attributes, events, status]))).not.toContain(
    'ann',
  );
  const { points } = await metric('db.client.operation.duration');
  expect(points.map((point) => [point.attributes['db.operation.name'], point.attributes['error.type']])).toEqual([
    ['appendMessages', 'not_found'],
    ['getConversation', 'refused'],
  ]);
});

it('measures durations in seconds and counts messages and events, without ids', async () => {
  instrument({ ids: 'plain' });
  await using small = createInMemoryProvider({ maxMessages: 2 });
  await small.storeMessages('chat-of-ann', [user('1'), user('2'), user('3')], {}, { userId: 'ann' });
  await small.getConversation('chat-of-ann');
  await small.getConversation('chat-of-ann');
  const duration = await metric('db.client.operation.duration');
  expect(duration.unit).toBe('s');
  const read = duration.points.find((point) => point.attributes['db.operation.name'] === 'getConversation');
  expect(read?.attributes).toEqual({ 'db.system.name': 'memory', 'db.operation.name': 'getConversation' });
  expect(read?.value).toMatchObject({ count: 2, buckets: { boundaries: [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10] } });
  const sum = async (name: string): Promise<unknown[]> => (await metric(name)).points.map((point) => [point.attributes, point.value]);
  const of = (operation: string): object => ({ 'db.system.name': 'memory', 'db.operation.name': operation });
  expect(await sum('jaf.memory.messages.written')).toEqual([[of('storeMessages'), 3]]);
  expect(await sum('jaf.memory.messages.read')).toEqual([[of('getConversation'), 4]]);
  expect(await sum('jaf.memory.events')).toEqual([[{ 'jaf.event.type': 'trimmed', 'db.system.name': 'memory' }, 1]]);
});

it('does nothing after it was stopped, and may be stopped twice', async () => {
  const running = instrument();
  await provider.storeMessages('c', [user('Hi')]);
  running.stop();
  running.stop();
  await provider.getConversation('c');
  expect(spans.getFinishedSpans().map((one) => one.attributes['db.operation.name'])).toEqual(['storeMessages']);
  const { points } = await metric('db.client.operation.duration');
  expect(points).toHaveLength(1);
});

it('two instrumentations do not disturb each other', async () => {
  instrument();
  const second = new InMemorySpanExporter();
  const other = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(second)] });
  instrument({ tracerProvider: other });
  await provider.getConversation('c');
  expect([spans.getFinishedSpans().length, second.getFinishedSpans().length]).toEqual([1, 1]);
  await other.shutdown();
});

it('refuses options that are wrong', () => {
  expect(() => instrumentMemory({ ids: 'some' as 'off' })).toThrow(
    "[jaf: config] instrumentMemory \"ids\": expected 'off', 'hash' or 'plain'.",
  );
  expect(() => instrumentMemory({ key: '' })).toThrow('"key": expected a text that is not empty');
  expect(() => instrumentMemory({ tracerProvider: {} as never })).toThrow('"tracerProvider": expected a TracerProvider');
  expect(() => instrumentMemory({ id: 'off' } as InstrumentMemoryOptions)).toThrow('"id": no such setting. Known settings:');
});
