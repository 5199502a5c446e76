// Far more calls than a slow server can take: what is refused, what memory it costs, who waits for whom, and what is left.
import { createPostgresProvider, createRedisProvider, type MemoryProvider, textOf, user } from 'jaf/memory';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPostgres } from '../../support/postgres.js';
import { startRedis } from '../../support/redis.js';
import { type Proxy, startProxy } from '../partition/proxy.js';
import { found } from '../support/results.js';

const IN_FLIGHT = 10_000;
const OVER = 500;

interface Server {
  readonly open: (port: number) => Promise<MemoryProvider>;
  readonly port: number;
  destroy(): Promise<void>;
}

const starts: Record<string, () => Promise<Server>> = {
  redis: async () => {
    const server = await startRedis({});
    return {
      port: server.port,
      open: (port) => createRedisProvider({ host: '127.0.0.1', port, deadline: 120_000 }),
      destroy: () => server.destroy(),
    };
  },
  postgres: async () => {
    const server = await startPostgres();
    return {
      port: server.port,
      open: (port) =>
        createPostgresProvider({ connectionString: server.url.replace(`:${server.port}`, `:${port}`), deadline: 120_000, sweep: false }),
      destroy: () => server.destroy(),
    };
  },
};

describe.each(Object.keys(starts))('%s', (name) => {
  let server: Server;
  let proxy: Proxy;
  beforeAll(async () => {
    server = await (starts[name] as () => Promise<Server>)();
    proxy = await startProxy(server.port);
  });
  afterAll(async () => {
    await proxy?.stop();
    await server?.destroy();
  });

  it('10,000 writes under way and 500 more: those are refused at once, the others are all done, each once', {
    timeout: 300_000,
  }, async () => {
    await using provider = await server.open(proxy.port);
    await provider.storeMessages('warm', [user('x')]);
    proxy.weather = 'delay';
    (globalThis as { gc?: () => void }).gc?.();
    const before = process.memoryUsage().heapUsed;
    let peak = 0;
    const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage().heapUsed)), 20);
    const conversations = 400;
    const results = Array.from({ length: IN_FLIGHT + OVER }, (_, n) =>
      provider.appendMessages(`c${n % conversations}`, [user(`${n} ${'x'.repeat(200)}`)], undefined, { createIfMissing: true }),
    );
    const outcomes = await Promise.all(results);
    clearInterval(watch);
    proxy.weather = 'pass';
    const refused = outcomes.filter((outcome) => !outcome.ok);
    expect(refused.length).toBe(OVER);
    for (const outcome of refused)
      if (!outcome.ok)
        expect(outcome.error).toMatchObject({ name: 'MemoryConnectionError', code: 'overloaded', outcome: 'not_applied', retryable: true });
    // the first come, and in order
    expect(outcomes.slice(0, IN_FLIGHT).every((outcome) => outcome.ok)).toBe(true);
    for (let c = 0; c < conversations; c++) {
      const there = ((await provider.getConversation(`c${c}`))?.messages ?? []).map((m) => Number(textOf(m).split(' ')[0]));
      expect(there).toEqual(Array.from({ length: IN_FLIGHT / conversations }, (_, i) => c + i * conversations));
    }
    const perWrite = (peak - before) / IN_FLIGHT;
    found({
      part: 'overload',
      backend: name,
      what: '10,500 writes at once, 50 ms per trip',
      fault: 'overload',
      numbers: {
        acknowledged: IN_FLIGHT,
        refused: OVER,
        lost: 0,
        doubled: 0,
        reordered: 0,
        'heap per waiting write, bytes': Math.round(perWrite),
      },
    });
    // 64 MB of bodies may wait; these are 2 MB, and each costs a few objects
    expect(peak - before).toBeLessThan(200_000_000);
    // and it is over
    expect((await provider.appendMessages('warm', [user('y')])).ok).toBe(true);
  });

  it('more than 64 MB of bodies are refused, however few', { timeout: 120_000 }, async () => {
    await using provider = await server.open(proxy.port);
    proxy.weather = 'drop';
    const big = user('z'.repeat(10_000_000));
    const results = Array.from({ length: 8 }, (_, n) => provider.storeMessages(`big${n}`, [big]));
    const last = await (results.at(-1) as (typeof results)[number]);
    expect(last.ok ? undefined : last.error).toMatchObject({ code: 'overloaded', outcome: 'not_applied' });
    proxy.weather = 'pass';
    const done = (await Promise.all(results)).filter((result) => result.ok).length;
    expect(done).toBe(6);
    found({ part: 'overload', backend: name, what: '80 MB of bodies while nothing moves', numbers: { accepted: done, refused: 8 - done } });
  });

  it('a conversation with 2,000 writes waiting does not keep others waiting', { timeout: 300_000 }, async () => {
    await using provider = await server.open(proxy.port);
    proxy.weather = 'delay';
    let hogDone = 0;
    const hog = Array.from({ length: 2000 }, () =>
      provider.appendMessages('hog', [user('h')], undefined, { createIfMissing: true }).then((result) => {
        if (result.ok) hogDone++;
      }),
    );
    const late: number[] = [];
    await Promise.all(
      Array.from({ length: 200 }, async (_, n) => {
        const result = await provider.appendMessages(`guest${n}`, [user('g')], undefined, { createIfMissing: true });
        expect(result.ok).toBe(true);
        late.push(hogDone);
      }),
    );
    proxy.weather = 'pass';
    await Promise.all(hog);
    expect(hogDone).toBe(2000);
    // one write of a conversation at a time: while 200 guests come and go the hog moves a few places
    expect(Math.max(...late)).toBeLessThan(100);
    found({
      part: 'overload',
      backend: name,
      what: '200 guests behind 2,000 writes of one conversation',
      numbers: { 'writes of the one done when the last guest was': Math.max(...late) },
    });
  });
});
