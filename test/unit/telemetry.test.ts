// What is told to node:diagnostics_channel, and what health checks say of calls.
import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe, tracingChannel, unsubscribe } from 'node:diagnostics_channel';
import { createInMemoryProvider, createSqliteProvider, type MemoryOperation, type MemoryProvider, user } from 'jaf/memory';
import { afterEach, expect, it, onTestFinished } from 'vitest';

const SECRET = 'my pin is 4711';
const providers: MemoryProvider[] = [];
afterEach(async () => {
  for (const provider of providers.splice(0)) await provider.close();
});
const opened = (provider: MemoryProvider): MemoryProvider => {
  providers.push(provider);
  return provider;
};

/** Listens until the test ends. */
function listen(): { readonly order: string[]; readonly ended: MemoryOperation[]; stop(): void } {
  const order: string[] = [];
  const ended: MemoryOperation[] = [];
  const on = (channel: string) => (note: MemoryOperation) => {
    order.push(`${channel} ${note.operation}`);
    if (channel === 'asyncEnd') ended.push(note);
  };
  const handlers = { start: on('start'), end: on('end'), asyncStart: on('asyncStart'), asyncEnd: on('asyncEnd'), error: on('error') };
  const channel = tracingChannel<unknown, MemoryOperation>('jaf:memory');
  channel.subscribe(handlers);
  let stopped = false;
  const stop = (): void => {
    if (!stopped) channel.unsubscribe(handlers);
    stopped = true;
  };
  onTestFinished(stop);
  return { order, ended, stop };
}

const plain = ({ milliseconds, error: _error, ...rest }: MemoryOperation): object => {
  expect(milliseconds).toBeGreaterThanOrEqual(0);
  return rest;
};

it('tells every operation with ids and counts, and nothing of the content', async () => {
  const provider = opened(await createSqliteProvider({ path: ':memory:' }));
  const { ended } = listen();
  const add = { userId: 'ann', createIfMissing: true, operationId: 'op-1' };
  await provider.appendMessages('c1', [user(SECRET), user('2')], { note: SECRET }, add);
  await provider.appendMessages('c1', [user(SECRET), user('2')], { note: SECRET }, add);
  await provider.storeMessages('c2', [user(SECRET)]);
  await provider.getConversation('c1', { messageLimit: 1 });
  await provider.getConversation('nowhere');
  await provider.forUser('ann').getRecentMessages('c1');
  await provider.getMessages('c1', { after: 1 });
  await provider.findConversations({ userId: 'ann' });
  for await (const one of provider.iterateConversations()) expect(one.messageCount).toBeGreaterThan(0);
  for await (const one of provider.iterateConversations()) if (one) break;
  await provider.getStats('ann');
  await provider.deleteConversation('c2');
  await provider.clearUserConversations('ann');
  await provider.purgeExpired();
  await provider.healthCheck();
  const common = { provider: 'sqlite', target: { namespace: ':memory:' } };
  expect(ended.map(plain)).toEqual(
    [
      { operation: 'appendMessages', conversationId: 'c1', userId: 'ann', messages: 2, duplicate: false },
      { operation: 'appendMessages', conversationId: 'c1', userId: 'ann', messages: 0, duplicate: true },
      { operation: 'storeMessages', conversationId: 'c2', messages: 1, duplicate: false },
      { operation: 'getConversation', conversationId: 'c1', conversations: 1, messages: 1 },
      { operation: 'getConversation', conversationId: 'nowhere', conversations: 0, messages: 0 },
      { operation: 'getRecentMessages', conversationId: 'c1', userId: 'ann', messages: 2 },
      { operation: 'getMessages', conversationId: 'c1', messages: 1 },
      { operation: 'findConversations', userId: 'ann', conversations: 1, messages: 2 },
      { operation: 'iterateConversations', conversations: 2, messages: 3 },
      { operation: 'iterateConversations', conversations: 1, messages: 2 },
      { operation: 'getStats', userId: 'ann' },
      { operation: 'deleteConversation', conversationId: 'c2', conversations: 1 },
      { operation: 'clearUserConversations', userId: 'ann', conversations: 1 },
      { operation: 'purgeExpired', conversations: 0 },
      { operation: 'healthCheck' },
    ].map((one) => ({ ...common, ...one })),
  );
  expect(JSON.stringify(ended)).not.toContain('4711');
});

it('tells errors that are thrown and those that are returned, with their codes', async () => {
  const provider = opened(createInMemoryProvider());
  const { order, ended } = listen();
  const answer = await provider.appendMessages('nowhere', [user('Hi')]);
  await expect(provider.getConversation('')).rejects.toThrow('[jaf: invalid]');
  await expect(provider.iterateConversations({ limit: -1 })[Symbol.asyncIterator]().next()).rejects.toThrow('[jaf: invalid]');
  expect(ended.map((note) => [note.operation, note.code])).toEqual([
    ['appendMessages', 'not_found'],
    ['getConversation', 'invalid'],
    ['iterateConversations', 'invalid'],
  ]);
  expect(ended[0]?.error).toBe(answer.ok ? undefined : answer.error);
  expect(order.slice(0, 5)).toEqual(['start', 'end', 'error', 'asyncStart', 'asyncEnd'].map((channel) => `${channel} appendMessages`));
});

it('carries what a subscriber binds to the start, and keeps calls in call order', async () => {
  const provider = opened(createInMemoryProvider());
  listen();
  const storage = new AsyncLocalStorage<string>();
  const { start } = tracingChannel<unknown, MemoryOperation>('jaf:memory');
  start.bindStore(storage, (note) => note.operation);
  onTestFinished(() => void start.unbindStore(storage));
  const seen: (string | undefined)[] = [];
  const watched = createInMemoryProvider({ clock: () => (seen.push(storage.getStore()), Date.now()) });
  await watched.storeMessages('c', [user('Hi')]);
  expect(seen).toContain('storeMessages');
  const texts = ['1', '2', '3'];
  await Promise.all(texts.map((text) => provider.appendMessages('c', [user(text)], {}, { createIfMissing: true })));
  expect((await provider.getRecentMessages('c')).map((message) => message.content)).toEqual(texts);
});

it('tells nothing after the last subscriber has gone', async () => {
  const provider = opened(createInMemoryProvider());
  const { order, stop } = listen();
  await provider.storeMessages('c', [user('Hi')]);
  stop();
  const before = order.length;
  await provider.getConversation('c');
  expect([before, order.length]).toEqual([4, 4]);
});

it('publishes events beside onEvent, also without one', async () => {
  const told: unknown[] = [];
  const heard: unknown[] = [];
  const onMessage = (event: unknown): void => void told.push(event);
  subscribe('jaf:memory:event', onMessage);
  onTestFinished(() => void unsubscribe('jaf:memory:event', onMessage));
  const provider = opened(createInMemoryProvider({ maxMessages: 1 }));
  const listening = opened(createInMemoryProvider({ maxMessages: 1, onEvent: (event) => heard.push(event) }));
  for (const one of [provider, listening]) await one.storeMessages('c', [user('1'), user('2')]);
  const event = { type: 'trimmed', provider: 'memory', conversationId: 'c', messages: 1 };
  expect(told).toEqual([event, event]);
  expect(heard).toEqual([event]);
});

it('healthCheck().metrics has a histogram of every operation, whose buckets add up', async () => {
  const provider = opened(createInMemoryProvider());
  for (let i = 0; i < 20; i++) await provider.appendMessages('c', [user('Hi')], {}, { createIfMissing: true });
  await provider.appendMessages('nowhere', [user('Hi')]);
  for await (const one of provider.iterateConversations()) expect(one.messageCount).toBe(20);
  const { metrics } = await provider.healthCheck();
  const of = (name: string): number => metrics[`appendMessages.${name}`] ?? Number.NaN;
  const bounds = ['0.1', '0.5', '1', '5', '10', '50', '100', '500', '1000', '5000'].map((bound) => of(`le_${bound}ms`));
  expect(bounds).toEqual([...bounds].sort((a, b) => a - b));
  expect([of('count'), of('failed'), bounds.at(-1)]).toEqual([21, 1, 21]);
  expect(of('sum')).toBeGreaterThan(0);
  expect(of('sum') / 21).toBeLessThanOrEqual(of('p99'));
  expect(metrics['iterateConversations.count']).toBe(1);
  expect(metrics['healthCheck.count']).toBe(1);
  expect(metrics.activeConnections).toBe(0);
  expect(metrics.memoryUsage).toBeGreaterThan(0);
  expect(metrics.avgResponseTime).toBeGreaterThan(0);
});

it('a health check that fails still tells what was measured', async () => {
  const provider = createInMemoryProvider();
  await provider.getConversation('c');
  await provider.close();
  const health = await provider.healthCheck();
  expect(health.healthy).toBe(false);
  expect(health.metrics).toMatchObject({ 'getConversation.count': 1, 'healthCheck.failed': 1 });
  expect(health.metrics.avgResponseTime).toBeGreaterThan(0);
});
