/**
 * Mistakes in reads and lists.
 *
 * @module
 */
import type { Cursor, List, Page, StorageDriver, Stored, Window } from '../../driver.js';
import { compareIds, resolveWindow } from '../../local.js';
import { type BrokenDriver, pause, variant } from './broken.js';

const readsThatWriteBack: BrokenDriver = {
  name: 'reads that write',
  mistake: 'A read notes "last read" in the conversation and writes it back without waiting: what was deleted meanwhile returns.',
  failsOn: 'read: a conversation deleted while it is read stays deleted',
  wrap: (driver) => {
    let counter = 0;
    return variant(driver, {
      read: async (read, trip) => {
        const stored = await driver.read(read, trip);
        if (!stored || stored.segments.length > 0) return stored;
        const { id, owner, metadata } = stored.header;
        const writeBack = async (): Promise<void> => {
          await pause();
          if (await driver.read({ ...read, window: { kind: 'none' } }, trip)) return;
          const writer = { id: 'write-back', counter: ++counter };
          const bodies = stored.bodies.map(({ body }) => body);
          await driver.write(
            [{ kind: 'put', id, now: read.now, writer, retry: false, scoped: false, owner, create: true, bodies, metadata }],
            trip,
          );
        };
        void writeBack();
        return stored;
      },
    });
  },
};

const readsThatRenew: BrokenDriver = {
  name: 'reads that renew',
  mistake: 'A read moves updatedAt and the expiry, as a cache would: nothing that is looked at ever expires.',
  failsOn: 'read: reading changes nothing',
  wrap: (driver) => {
    let counter = 0;
    return variant(driver, {
      read: async (read, trip) => {
        const stored = await driver.read(read, trip);
        const writer = { id: 'renewal', counter: ++counter };
        await driver.write(
          [{ kind: 'append', id: read.id, now: read.now, writer, retry: false, scoped: false, create: false, bodies: [] }],
          trip,
        );
        return stored;
      },
    });
  },
};

const leftovers: BrokenDriver = {
  name: 'leftovers below first',
  mistake: 'A trim moves `first` and leaves the bodies to the reaper, and a read takes whatever bodies there are.',
  failsOn: 'window: driver: what lies below first is never returned',
  wrap: (driver) => {
    const kept = new Map<string, Stored['bodies'][number][]>();
    const key = (id: string, epoch: number): string => `${epoch} ${id}`;
    const shown = (stored: Stored, window: Window): Stored => {
      const { id, epoch, first, next } = stored.header;
      const { from, to } = resolveWindow({ first: 1, next }, window);
      const below = (kept.get(key(id, epoch)) ?? []).filter(({ seq }) => seq >= from && seq < Math.min(to, first));
      return below.length === 0 ? stored : { ...stored, bodies: [...below, ...stored.bodies] };
    };
    return variant(driver, {
      write: async (batch, trip) => {
        const outcomes = await driver.write(batch, trip);
        for (const [n, { id, bodies }] of batch.entries()) {
          const outcome = outcomes[n];
          if (outcome?.kind !== 'ok') continue;
          const start = outcome.extent.next - bodies.length;
          const at = key(id, outcome.extent.epoch);
          kept.set(at, [...(kept.get(at) ?? []), ...bodies.map((body, i) => ({ seq: start + i, body }))]);
        }
        return outcomes;
      },
      read: async (read, trip) => {
        const stored = await driver.read(read, trip);
        return stored && shown(stored, read.window);
      },
      list: async (list, trip) => {
        const page = await driver.list(list, trip);
        return { ...page, items: page.items.map((item) => shown(item, list.window)) };
      },
    });
  },
};

const zeroIsAll: BrokenDriver = {
  name: 'limit 0 = all',
  mistake: '`messages.slice(-limit)`, or a LIMIT clause that is left out when the limit is falsy: 0 brings everything.',
  failsOn: 'window: driver: a count or limit of 0 brings no message, never all',
  wrap: (driver) => {
    const all = (window: Window): Window =>
      (window.kind === 'last' && window.count === 0) || ('limit' in window && window.limit === 0) ? { kind: 'all' } : window;
    return variant(driver, {
      read: (read, trip) => driver.read({ ...read, window: all(read.window) }, trip),
      list: (list, trip) => driver.list({ ...list, limit: list.limit === 0 ? 1000 : list.limit, window: all(list.window) }, trip),
    });
  },
};

const ownerlessLists: BrokenDriver = {
  name: 'ignored owner in lists',
  mistake: 'Lists and totals of a user are those of everybody; a layer above may hide it in lists, never in totals.',
  failsOn: 'owner: driver: a list or total of an owner holds nothing else',
  wrap: (driver) =>
    variant(driver, {
      list: (list, trip) => driver.list({ ...list, owner: undefined }, trip),
      stats: (query, trip) => driver.stats({ ...query, owner: undefined }, trip),
    }),
};

const lateExpiry: BrokenDriver = {
  name: 'expiry a millisecond late',
  mistake: '`expiresAt < now` instead of `expiresAt <= now`: reads and lists still show what appends no longer find.',
  failsOn: 'expiry: driver: what is over is missing to appends, lists, stats and removals',
  wrap: (driver) =>
    variant(driver, {
      read: (read, trip) => driver.read({ ...read, now: read.now - 1 }, trip),
      list: (list, trip) => driver.list({ ...list, now: list.now - 1 }, trip),
      stats: (query, trip) => driver.stats({ ...query, now: query.now - 1 }, trip),
    }),
};

/** Lists in the order of another comparison, with cursors that fit it. */
function resorted(driver: StorageDriver, compare: (a: Cursor, b: Cursor, direction: List['direction']) => number): StorageDriver {
  const list = async (query: List, trip: Parameters<StorageDriver['list']>[1]): Promise<Page> => {
    const all: { place: Cursor; item: Stored }[] = [];
    let after: Cursor | undefined;
    do {
      const page = await driver.list({ ...query, after, limit: 1000 }, trip);
      for (const item of page.items) {
        all.push({ place: { at: query.by === 'created' ? item.header.createdAt : item.header.updatedAt, id: item.header.id }, item });
      }
      after = page.cursor;
    } while (after);
    all.sort((a, b) => compare(a.place, b.place, query.direction));
    const start = query.after;
    const rest = start ? all.filter(({ place }) => compare(place, start, query.direction) > 0) : all;
    const items = rest.slice(0, query.limit);
    const cursor = items.length < rest.length ? (items.at(-1)?.place ?? start) : undefined;
    return { items: items.map(({ item }) => item), cursor };
  };
  return variant(driver, { list });
}

const tiesOneWay: BrokenDriver = {
  name: 'wrong order on equal times',
  mistake: '`ORDER BY updated_at DESC, id`: equal times stand in ascending order of ids whatever the direction.',
  failsOn: 'list: driver: equal times are ordered by id as UTF-8 bytes',
  wrap: (driver) => resorted(driver, (a, b, direction) => (direction === 'asc' ? a.at - b.at : b.at - a.at) || compareIds(a.id, b.id)),
};

const tiesInUtf16: BrokenDriver = {
  name: 'ids in UTF-16 order',
  mistake: 'Ids are compared with `<`, or with the collation of a language: pages merged from two stores disagree.',
  failsOn: 'list: driver: equal times are ordered by id as UTF-8 bytes',
  wrap: (driver) =>
    resorted(driver, (a, b, direction) => (a.at - b.at || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)) * (direction === 'asc' ? 1 : -1)),
};

const missesMoved: BrokenDriver = {
  name: 'an iterate that misses moved conversations',
  mistake: 'The walk is by last write: a conversation written to meanwhile moves past the cursor and is missed, or seen twice.',
  failsOn: 'iterate: driver: a walk by creation misses nothing that is written to meanwhile',
  wrap: (driver) => variant(driver, { list: (list, trip) => driver.list({ ...list, by: 'updated' }, trip) }),
};

/** Mistakes in reads and lists. */
export const brokenReads: readonly BrokenDriver[] = [
  readsThatWriteBack,
  readsThatRenew,
  leftovers,
  zeroIsAll,
  ownerlessLists,
  lateExpiry,
  tiesOneWay,
  tiesInUtf16,
  missesMoved,
];
