// What every kind of store says of itself: the document's health metrics, and where its operations go.
import { tracingChannel } from 'node:diagnostics_channel';
import { type MemoryOperation, unwrap, user } from 'jaf/memory';
import { expect, it, onTestFinished } from 'vitest';
import { KINDS, useStores } from '../support/stores.js';

const stores = useStores();

it.each(KINDS)("%s: healthCheck() has the document's metrics and a histogram", async (kind) => {
  const provider = await stores.open(kind);
  unwrap(await provider.storeMessages('c', [user('Hi')]));
  const health = await provider.healthCheck();
  expect(health.healthy).toBe(true);
  const { metrics } = health;
  const connections = { memory: 0, sqlite: 1 }[kind as string];
  if (connections === undefined) expect(metrics.activeConnections).toBeGreaterThanOrEqual(1);
  else expect(metrics.activeConnections).toBe(connections);
  expect(metrics.memoryUsage).toBeGreaterThan(0);
  expect(metrics.avgResponseTime).toBeGreaterThan(0);
  expect(metrics['storeMessages.count']).toBe(1);
  expect(Object.keys(metrics).filter((name) => name.startsWith('storeMessages.le_'))).toHaveLength(10);
  for (const value of Object.values(metrics)) expect(typeof value).toBe('number');
});

it.each(KINDS)('%s: an operation names the place as far as it is known, and no password', async (kind) => {
  const provider = await stores.open(kind);
  const notes: MemoryOperation[] = [];
  const ignore = (): void => undefined;
  const asyncEnd = (note: MemoryOperation): void => void notes.push(note);
  const handlers = { start: ignore, end: ignore, asyncStart: ignore, error: ignore, asyncEnd };
  const channel = tracingChannel<unknown, MemoryOperation>('jaf:memory');
  channel.subscribe(handlers);
  onTestFinished(() => {
    channel.unsubscribe(handlers);
  });
  await provider.getConversation('c');
  const { provider: name, target } = notes.find((note) => note.operation === 'getConversation') ?? {};
  expect(name).toBe(kind.replace('-document', ''));
  const text = expect.stringMatching(/./) as string;
  const number = expect.any(Number) as number;
  switch (kind) {
    case 'memory':
      expect(target).toBeUndefined();
      break;
    case 'sqlite':
      expect(target).toEqual({ namespace: expect.stringMatching(/^[^/]+$/) as string });
      break;
    case 'redis':
      expect(target).toEqual({ namespace: '0', address: text, port: number });
      break;
    default:
      expect(target).toEqual({ namespace: text, collection: text, address: text, port: number });
  }
  expect(JSON.stringify(target ?? {})).not.toContain('@');
});
