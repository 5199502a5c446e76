import { describe, expect, it, vi } from 'vitest';
import { Coalescer, QUEUE_BYTES, type Transport } from '../../src/memory/coalesce.js';
import { Deadlines } from '../../src/memory/deadline.js';
import type { Classified, Write, WriteOutcome } from '../../src/memory/driver.js';

class Fault extends Error {
  constructor(readonly kind: Classified['kind']) {
    super(kind);
  }
}

const ok = (write: Write): WriteOutcome => ({
  kind: 'ok',
  receipt: { version: write.writer.counter, messageCount: 1, created: false },
  extent: { epoch: 1, first: 1, next: 2, packedTo: 1 },
  trimmed: 0,
});

let counter = 0;
const append = (id: string): Write => ({
  kind: 'append',
  id,
  now: 1,
  writer: { id: 'w', counter: ++counter },
  retry: false,
  scoped: false,
  create: false,
  bodies: [],
});

interface Sent {
  readonly batch: readonly Write[];
  readonly answer: (outcomes?: readonly WriteOutcome[]) => void;
  readonly fail: (kind: Classified['kind']) => void;
}

/** A queue whose trips are answered by hand. */
function setUp(options: { deadline?: number; maxInFlight?: number; batchCreations?: boolean; borrowed?: boolean } = {}) {
  const sent: Sent[] = [];
  const arrivals: (() => void)[] = [];
  const transport: Transport = {
    write: (batch) =>
      new Promise((resolve, reject) => {
        const copy = batch.map((w) => ({ ...w }));
        sent.push({ batch: copy, answer: (outcomes) => resolve(outcomes ?? batch.map(ok)), fail: (kind) => reject(new Fault(kind)) });
        for (const arrived of arrivals.splice(0)) arrived();
      }),
    remove: async () => ({ kind: 'removed' }),
    classify: (error) => ({ kind: error instanceof Fault ? error.kind : 'storage', reason: 'a fault' }),
    onRetry: () => undefined,
  };
  const { deadline = 5000, maxInFlight = 10_000, batchCreations = true, borrowed = false } = options;
  const queue = new Coalescer(transport, new Deadlines(deadline), { maxInFlight, batchCreations, borrowed });
  const write = (w: Write, bytes = 10, signal?: AbortSignal) => {
    const promise = queue.write(w, bytes, { provider: 'test', operation: 'appendMessages', id: w.id }, signal);
    promise.catch(() => undefined);
    return promise;
  };
  const arrived = async (n: number): Promise<Sent> => {
    while (sent.length < n) await new Promise<void>((resolve) => arrivals.push(resolve));
    return sent[n - 1] as Sent;
  };
  return { queue, sent, write, arrived };
}

describe('natural batching', () => {
  it('sends a lone write at once, alone', async () => {
    const { write, arrived } = setUp();
    const result = write(append('a'));
    const first = await arrived(1);
    expect(first.batch.map((w) => w.id)).toEqual(['a']);
    first.answer();
    expect((await result).kind).toBe('ok');
  });

  it.each([
    [16, [16]],
    [40, [20, 20]],
    [100, [50, 50]],
    [200, [64, 64, 64, 8]],
  ])('sends what is asked in one turn together, in two halves, at most 64 each (%i writes)', async (asked, sizes) => {
    const { write, arrived, sent } = setUp();
    const all = Array.from({ length: asked }, (_, i) => write(append(`c${i}`)));
    await arrived(sizes.length);
    expect(sent.map((s) => s.batch.length)).toEqual(sizes);
    for (const s of sent) s.answer();
    expect((await Promise.all(all)).every((o) => o.kind === 'ok')).toBe(true);
  });

  it('keeps batches under 1 MB and sends a larger write alone', async () => {
    const { write, arrived, sent } = setUp();
    for (let i = 0; i < 4; i++) void write(append(`c${i}`), 400_000);
    void write(append('big'), 2_000_000);
    await arrived(3);
    expect(sent.map((s) => s.batch.map((w) => w.id))).toEqual([['c0', 'c1'], ['c2', 'c3'], ['big']]);
  });

  it('has at most four batches under way, and the rest leaves together afterwards', async () => {
    const { write, arrived, sent } = setUp();
    for (let i = 0; i < 300; i++) void write(append(`c${i}`), 10);
    await arrived(4);
    expect(sent.length).toBe(4);
    sent[0]?.answer();
    expect((await arrived(5)).batch.length).toBe(300 - 4 * 64);
  });

  it('has one write per conversation under way and keeps their order', async () => {
    const { write, arrived } = setUp();
    const order: number[] = [];
    const writes = [append('a'), append('a'), append('a')];
    const all = writes.map((w, i) => write(w).then(() => order.push(i)));
    for (let n = 1; n <= 3; n++) {
      const trip = await arrived(n);
      expect(trip.batch.map((w) => w.writer.counter)).toEqual([writes[n - 1]?.writer.counter]);
      trip.answer();
    }
    await Promise.all(all);
    expect(order).toEqual([0, 1, 2]);
  });

  it('sends creations alone where the driver wants that', async () => {
    const { write, arrived, sent } = setUp({ batchCreations: false });
    void write({ ...append('p'), kind: 'put' });
    void write(append('a'));
    void write(append('b'));
    await arrived(2);
    expect(sent.map((s) => s.batch.map((w) => w.id)).sort()).toEqual([['a', 'b'], ['p']]);
  });

  it('sends a busy item again, alone, and holds nobody else up', async () => {
    const { write, arrived } = setUp();
    const a = write(append('a'));
    const b = write(append('b'));
    const first = await arrived(1);
    first.answer([{ kind: 'busy' }, ok(first.batch[1] as Write)]);
    expect((await b).kind).toBe('ok');
    const second = await arrived(2);
    expect(second.batch.map((w) => w.id)).toEqual(['a']);
    second.answer();
    expect((await a).kind).toBe('ok');
  });
});

describe('failures', () => {
  it('repeats a batch as a batch when the answer was lost, and marks it', async () => {
    const { write, arrived } = setUp();
    const all = [write(append('a')), write(append('b'))];
    (await arrived(1)).fail('lost');
    const again = await arrived(2);
    expect(again.batch.map((w) => [w.id, w.retry])).toEqual([
      ['a', true],
      ['b', true],
    ]);
    again.answer();
    await Promise.all(all);
  });

  it('does not mark what was never sent', async () => {
    const { write, arrived } = setUp();
    void write(append('a'));
    (await arrived(1)).fail('refused');
    expect((await arrived(2)).batch.map((w) => w.retry)).toEqual([false]);
  });

  it('bisects a batch that one write spoils', async () => {
    const poison = 'c5';
    const sizes: number[] = [];
    const q = new Coalescer(
      {
        write: async (batch) => {
          sizes.push(batch.length);
          if (batch.some((w) => w.id === poison)) throw new Fault('storage');
          return batch.map(ok);
        },
        remove: async () => ({ kind: 'removed' }),
        classify: () => ({ kind: 'storage', reason: 'a fault' }),
        onRetry: () => undefined,
      },
      new Deadlines(5000),
      { maxInFlight: 100, batchCreations: true, borrowed: false },
    );
    const results = await Promise.allSettled(
      Array.from({ length: 8 }, (_, i) => q.write(append(`c${i}`), 1, { provider: 'test', operation: 'appendMessages', id: `c${i}` })),
    );
    expect(results.map((r) => r.status)).toEqual(results.map((_, i) => (i === 5 ? 'rejected' : 'fulfilled')));
    expect((results[5] as PromiseRejectedResult).reason).toMatchObject({ code: 'storage', outcome: 'not_applied' });
    expect(sizes[0]).toBe(8);
  });

  it('sends nothing twice on a borrowed connection', async () => {
    const { write, arrived, sent } = setUp({ borrowed: true });
    const a = write(append('a'));
    (await arrived(1)).fail('lost');
    await expect(a).rejects.toMatchObject({ code: 'lost', outcome: 'unknown' });
    expect(sent.length).toBe(1);
  });
});

describe('deadline, abort, overload', () => {
  it('answers unknown when a write under way gets no answer, and lets the conversation go on', async () => {
    const { write, arrived } = setUp({ deadline: 30 });
    const hung = write(append('a'));
    await arrived(1);
    await expect(hung).rejects.toMatchObject({ code: 'timeout', outcome: 'unknown', retryable: true });
    const next = write(append('a'));
    (await arrived(2)).answer();
    expect((await next).kind).toBe('ok');
  });

  it('answers not applied when it was still waiting', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    try {
      const { write, sent } = setUp({ deadline: 30 });
      void write(append('a'));
      const waiting = write(append('a'));
      await vi.advanceTimersByTimeAsync(31);
      await expect(waiting).rejects.toMatchObject({ code: 'timeout', outcome: 'not_applied' });
      expect(sent.length).toBe(1);
    } finally {
      vi.useRealTimers();
    }
  });

  it('frees the slots of a store that hangs', async () => {
    const { write, arrived, sent } = setUp({ deadline: 30 });
    const hung = Array.from({ length: 256 }, (_, i) => write(append(`c${i}`)));
    await arrived(4);
    await Promise.allSettled(hung);
    const next = write(append('z'));
    (await arrived(5)).answer();
    expect((await next).kind).toBe('ok');
    expect(sent.length).toBe(5);
  });

  it('an aborted write that waits is not applied and is never sent', async () => {
    const { write, arrived, sent } = setUp();
    void write(append('a'));
    const first = await arrived(1);
    const controller = new AbortController();
    const waiting = write(append('a'), 10, controller.signal);
    const third = write(append('a'));
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ name: 'AbortError', code: 'aborted', outcome: 'not_applied' });
    first.answer();
    (await arrived(2)).answer();
    await third;
    expect(sent.length).toBe(2);
  });

  it('an aborted write under way is unknown, and the next one waits for it', async () => {
    const { write, arrived, sent } = setUp();
    const controller = new AbortController();
    const aborted = write(append('a'), 10, controller.signal);
    const first = await arrived(1);
    const next = write(append('a'));
    controller.abort();
    await expect(aborted).rejects.toMatchObject({ code: 'aborted', outcome: 'unknown' });
    expect(sent.length).toBe(1);
    first.answer();
    (await arrived(2)).answer();
    expect((await next).kind).toBe('ok');
  });

  it('an aborted write under way ends the wait at its deadline when the store hangs', async () => {
    const { write, arrived } = setUp({ deadline: 30 });
    const controller = new AbortController();
    const aborted = write(append('a'), 10, controller.signal);
    await arrived(1);
    controller.abort();
    await expect(aborted).rejects.toMatchObject({ code: 'aborted' });
    await new Promise((resolve) => setTimeout(resolve, 40));
    const next = write(append('a'));
    (await arrived(2)).answer();
    expect((await next).kind).toBe('ok');
  });

  it('refuses more than maxInFlight writes, and takes some again afterwards', async () => {
    const { write, arrived } = setUp({ maxInFlight: 2 });
    const two = [write(append('a')), write(append('b'))];
    await expect(write(append('c'))).rejects.toMatchObject({ code: 'overloaded', outcome: 'not_applied', retryable: true });
    (await arrived(1)).answer();
    await Promise.all(two);
    const later = write(append('c'));
    (await arrived(2)).answer();
    expect((await later).kind).toBe('ok');
  });

  it('refuses more than 64 MB', async () => {
    const { write } = setUp();
    void write(append('a'), QUEUE_BYTES - 5);
    await expect(write(append('b'), 10)).rejects.toMatchObject({ code: 'overloaded' });
  });

  it('lets timers run between awaited writes of a store that answers without I/O', async () => {
    const queue = new Coalescer(
      {
        write: async (batch) => batch.map(ok),
        remove: async () => ({ kind: 'removed' }),
        classify: () => ({ kind: 'storage', reason: 'a fault' }),
        onRetry: () => undefined,
      },
      new Deadlines(5000),
      { maxInFlight: 100, batchCreations: true, borrowed: false },
    );
    let fired = false;
    setImmediate(() => {
      fired = true;
    });
    let writes = 0;
    while (writes++ < 10_000) {
      await queue.write(append('a'), 1, { provider: 'test', operation: 'appendMessages', id: 'a' });
      if (fired) break;
    }
    expect(writes).toBeLessThan(1000);
  });

  it('drains', async () => {
    const { queue, write, arrived } = setUp();
    void write(append('a'));
    void write(append('a'));
    let drained = false;
    const done = queue.drained().then(() => {
      drained = true;
    });
    (await arrived(1)).answer();
    const second = await arrived(2);
    expect(drained).toBe(false);
    second.answer();
    await done;
  });
});
