/**
 * Cases about many writers at once.
 *
 * @module
 */
import type { StorageDriver } from '../../driver.js';
import { unwrap } from '../../result.js';
import type { MemoryProvider } from '../../types.js';
import { check, equal, present, same } from '../assert.js';
import { type Case, type CaseContext, defineCases } from '../case.js';
import { applied, texts } from '../hand.js';
import { contents, say } from '../talk.js';

/** 50 appends at once, spread over providers. */
async function fiftyAppends(providers: readonly MemoryProvider[], reader: MemoryProvider): Promise<void> {
  unwrap(await reader.storeMessages('c', []));
  const receipts = await Promise.all(
    texts(1, 50).map(async (_, n) =>
      unwrap(await present(providers[n % providers.length], 'provider').appendMessages('c', say(n + 1, n + 1), { [`k${n + 1}`]: n + 1 })),
    ),
  );
  const read = present(await reader.getConversation('c'), 'conversation');
  same([...(contents(read.messages) as string[])].sort(), texts(1, 50).sort(), 'messages: each once');
  same(read.metadata, Object.fromEntries(texts(1, 50, 'k').map((key, n) => [key, n + 1])), 'metadata: every key');
  same(
    receipts.map(({ messageCount }) => messageCount).sort((a, b) => a - b),
    Array.from({ length: 50 }, (_, n) => n + 1),
    'messageCount of the receipts: each once',
  );
  equal(new Set(receipts.map(({ version }) => version)).size, 50, 'different versions of the receipts');
  equal(Math.max(...receipts.map(({ version }) => version)), read.version, 'the last version');
}

async function secondDriver(context: CaseContext): Promise<StorageDriver[]> {
  return [context.driver, await context.reopen()];
}

/** Cases about many writers at once. */
export const concurrencyCases: readonly Case[] = defineCases('concurrency', {
  'of 50 appends by one provider each is kept, once, and in call order': async ({ provider }) => {
    const p = provider();
    await fiftyAppends([p], p);
    same(contents((await p.getConversation('c'))?.messages), texts(1, 50), 'messages in call order');
  },
  'of 50 appends by 50 providers each is kept, once': async ({ provider }) => {
    await fiftyAppends(
      Array.from({ length: 50 }, () => provider()),
      provider(),
    );
  },
  'of 50 appends over two drivers on one store each is kept, once': {
    needs: 'shared',
    run: async (context) => {
      const drivers = await secondDriver(context);
      await fiftyAppends(
        Array.from({ length: 10 }, (_, n) => context.provider({}, drivers[n % 2])),
        context.provider(),
      );
    },
  },
  'batches stay together': async ({ provider }) => {
    const providers = Array.from({ length: 8 }, () => provider());
    unwrap(await provider().storeMessages('c', []));
    await Promise.all(
      providers.flatMap((p, w) => [1, 2, 3].map(async (n) => unwrap(await p.appendMessages('c', say(1, 4, `w${w}-b${n}-`))))),
    );
    const stored = (contents((await provider().getConversation('c'))?.messages) ?? []) as string[];
    equal(stored.length, 96, 'messages');
    for (let at = 0; at < stored.length; at += 4) {
      const prefix = String(stored[at]).slice(0, -1);
      same(stored.slice(at, at + 4), texts(1, 4, prefix), `batch at ${at}`);
    }
    for (const w of providers.keys()) {
      same(
        stored.filter((text) => text.startsWith(`w${w}-`) && text.endsWith('-1')),
        texts(1, 3, `w${w}-b`).map((text) => `${text}-1`),
        `order of writer ${w}`,
      );
    }
  },
  'of many creations at once one creates': async ({ provider }) => {
    const providers = Array.from({ length: 20 }, () => provider());
    const receipts = await Promise.all(
      providers.map(async (p, n) => unwrap(await p.appendMessages('c', say(n, n), undefined, { createIfMissing: true }))),
    );
    equal(receipts.filter(({ created }) => created).length, 1, 'receipts that say created');
    equal(receipts.find(({ created }) => created)?.messageCount, 1, 'messageCount of the one that created');
    equal((await provider().getConversation('c'))?.messageCount, 20, 'messageCount');
    const stores = await Promise.all(providers.map((p, n) => p.storeMessages('d', say(n, n), undefined, { expectedVersion: 0 })));
    equal(stores.filter((result) => result.ok).length, 1, 'of those that expect none');
  },
  'trims of many writers leave the newest': async ({ provider }) => {
    const providers = Array.from({ length: 10 }, () => provider({ maxMessages: 7 }));
    unwrap(await provider().storeMessages('c', []));
    await Promise.all(
      providers.flatMap((p, w) => [1, 2, 3, 4, 5].map(async (n) => unwrap(await p.appendMessages('c', say(n, n, `w${w}-`))))),
    );
    const page = await provider().getMessages('c', {});
    same([page.items.map(({ seq }) => seq), page.firstSeq, page.nextSeq], [[44, 45, 46, 47, 48, 49, 50], 44, 51], 'sequences');
  },
  'appends and replacements at once: every receipt is true of its moment': async ({ provider }) => {
    const providers = Array.from({ length: 6 }, () => provider());
    unwrap(await provider().storeMessages('c', []));
    const receipts = await Promise.all(
      providers.flatMap((p, w) =>
        [1, 2, 3, 4].map(async (n) =>
          (w + n) % 4 === 0
            ? { kind: 'put', ...unwrap(await p.storeMessages('c', say(1, 3, `w${w}-${n}-`))) }
            : { kind: 'append', ...unwrap(await p.appendMessages('c', say(n, n, `w${w}-`))) },
        ),
      ),
    );
    receipts.sort((a, b) => a.version - b.version);
    let count = 0;
    for (const { kind, messageCount, version } of receipts) {
      count = kind === 'put' ? 3 : count + 1;
      equal(messageCount, count, `messageCount of the ${kind} with version ${version}`);
    }
    equal((await provider().getConversation('c'))?.messageCount, count, 'messageCount in the end');
  },
  'appends and deletions at once: what was acknowledged after the last deletion is there': async ({ provider }) => {
    const providers = Array.from({ length: 5 }, () => provider());
    const done = await Promise.all(
      providers.flatMap((p, w) =>
        [1, 2, 3, 4].map(async (n) => {
          if (n === 3) return { deleted: await p.deleteConversation('c') };
          const receipt = unwrap(await p.appendMessages('c', say(n, n, `w${w}-`), undefined, { createIfMissing: true }));
          return { text: `w${w}-${n}`, ...receipt };
        }),
      ),
    );
    const appended = done.flatMap((one) => ('text' in one ? [one] : [])).sort((a, b) => a.version - b.version);
    // a creation begins a life with one message: the last life holds what was appended since
    const lives = appended.flatMap((one, at) => (one.created ? [at] : []));
    const last = appended.slice(lives.at(-1) ?? 0);
    const stored = contents((await provider().getConversation('c'))?.messages);
    if (stored)
      same(
        stored,
        last.map(({ text }) => text),
        'messages of the last life',
      );
    else equal(done.filter((one) => 'deleted' in one && one.deleted).length, lives.length, 'every life was ended');
    for (const [i, at] of lives.entries()) {
      for (const [n, one] of appended.slice(at, lives[i + 1] ?? appended.length).entries())
        equal(one.messageCount, n + 1, `messageCount of ${one.text}`);
    }
  },
  'writers of many conversations do not meet': async ({ provider }) => {
    const p = provider();
    const ids = texts(1, 150, 'c');
    await Promise.all(
      ids.flatMap((id) =>
        [1, 2, 3].map(async (n) => unwrap(await p.appendMessages(id, say(n, n, `${id}-`), undefined, { createIfMissing: true }))),
      ),
    );
    for (const id of ids) same(contents((await p.getConversation(id))?.messages), texts(1, 3, `${id}-`), `messages of ${id}`);
  },

  'driver: of appends at once each outcome is of its own step': async ({ hand }) => {
    const h = hand();
    await h.create('c', []);
    const outcomes = await Promise.all(
      texts(1, 30).map(async (text) => ({ text, outcome: applied(await hand().append('c', [text]), text) })),
    );
    const stored = present(await h.texts('c'), 'texts');
    for (const { text, outcome } of outcomes) {
      equal(stored[outcome.extent.next - 2], text, 'the message at the sequence its outcome names');
      equal(outcome.receipt.messageCount, outcome.extent.next - outcome.extent.first, 'messageCount and extent');
    }
    check(new Set(outcomes.map(({ outcome }) => outcome.receipt.version)).size === 30, 'different versions');
  },
  'driver: of writes at once that expect one version, the losers see the winner’s': async ({ hand }) => {
    const h = hand();
    const { version } = (await h.create('c', [])).receipt;
    const outcomes = await Promise.all(texts(1, 20).map((text) => hand().append('c', [text], { expectedVersion: version })));
    const winners = outcomes.filter((outcome) => outcome.kind === 'ok');
    equal(winners.length, 1, 'winners');
    const actualVersion = winners[0]?.kind === 'ok' ? winners[0].receipt.version : 0;
    for (const outcome of outcomes) if (outcome.kind !== 'ok') same(outcome, { kind: 'conflict', actualVersion }, 'outcome of a loser');
    equal((await h.texts('c'))?.length, 1, 'messages');
  },
  'driver: one write sent twice at once is applied once': async ({ hand }) => {
    const h = hand();
    await h.create('c', []);
    for (let n = 1; n <= 10; n++) {
      const write = h.prepare('append', 'c', [`m${n}`]);
      const outcomes = await Promise.all([h.send(write), h.resend(write), h.resend(write)]);
      same(outcomes.map(({ kind }) => kind).sort(), ['ok', 'repeated', 'repeated'], 'outcomes');
    }
    same(await h.texts('c'), texts(1, 10), 'texts');
  },
  'driver: batches of two drivers that meet at the same conversations are applied each once': {
    needs: 'shared',
    run: async (context) => {
      const drivers = await secondDriver(context);
      const ids = texts(1, 10, 'c');
      for (const id of ids) await context.hand().create(id, []);
      const rounds = drivers.map(async (driver, d) => {
        const h = context.hand(driver);
        for (let round = 1; round <= 10; round++) {
          const outcomes = await h.sendAll(ids.map((id) => h.prepare('append', id, [`d${d}-${round}`])));
          for (const outcome of outcomes) applied(outcome, `round ${round} of driver ${d}`);
        }
      });
      await Promise.all(rounds);
      for (const id of ids) {
        const stored = present(await context.hand().texts(id), id);
        for (const d of [0, 1])
          same(
            stored.filter((text) => text.startsWith(`d${d}-`)),
            texts(1, 10, `d${d}-`),
            `${id}: messages of driver ${d}`,
          );
      }
    },
  },
  'two drivers on one store see each other at once': {
    needs: 'shared',
    run: async (context) => {
      const [a, b] = (await secondDriver(context)).map((driver) => context.hand(driver));
      const one = present(a, 'driver');
      const other = present(b, 'driver');
      await one.create('c', ['m1'], { owner: 'ann' });
      same(await other.texts('c'), ['m1'], 'read');
      same(await other.ids({ owner: 'ann' }), ['c'], 'list');
      applied(await other.append('c', ['m2']), 'append');
      same(await one.texts('c'), ['m1', 'm2'], 'read, the other way');
      equal((await other.remove('c')).kind, 'removed', 'remove');
      equal((await one.append('c', ['x'])).kind, 'missing', 'append after it');
      same(await one.stats(), { conversations: 0, messages: 0, bytes: 0 }, 'stats');
    },
  },
});
