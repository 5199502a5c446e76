/**
 * Cases about windows: which messages a read brings.
 *
 * @module
 */
import type { Window } from '../../driver.js';
import { user } from '../../message.js';
import { unwrap } from '../../result.js';
import { check, equal, present, same } from '../assert.js';
import { type Case, defineCases } from '../case.js';
import { texts } from '../hand.js';
import { answering, calling, contents, say } from '../talk.js';

/** Cases about windows: which messages a read brings. */
export const windowCases: readonly Case[] = defineCases('window', {
  'driver: each window brings the sequences it means': async ({ hand }) => {
    const h = hand();
    await h.create('c', texts(1, 8));
    await h.append('c', texts(9, 10), { maxMessages: 7 });
    const asked: [Window, number[]][] = [
      [{ kind: 'none' }, []],
      [{ kind: 'all' }, [4, 5, 6, 7, 8, 9, 10]],
      [{ kind: 'last', count: 2 }, [9, 10]],
      [{ kind: 'last', count: 7 }, [4, 5, 6, 7, 8, 9, 10]],
      [{ kind: 'last', count: 100 }, [4, 5, 6, 7, 8, 9, 10]],
      [{ kind: 'after', seq: 0, limit: 3 }, [4, 5, 6]],
      [{ kind: 'after', seq: 3, limit: 1 }, [4]],
      [{ kind: 'after', seq: 5, limit: 3 }, [6, 7, 8]],
      [{ kind: 'after', seq: 9, limit: 3 }, [10]],
      [{ kind: 'after', seq: 10, limit: 3 }, []],
      [{ kind: 'after', seq: 99, limit: 3 }, []],
      [{ kind: 'after', seq: 5, before: 8, limit: 10 }, [6, 7]],
      [{ kind: 'after', seq: 5, before: 8, limit: 1 }, [6]],
      [{ kind: 'after', seq: 7, before: 8, limit: 10 }, []],
      [{ kind: 'after', seq: 8, before: 5, limit: 10 }, []],
      [{ kind: 'after', seq: 0, before: 2, limit: 10 }, []],
      [{ kind: 'before', seq: 7, limit: 2 }, [5, 6]],
      [{ kind: 'before', seq: 6, limit: 10 }, [4, 5]],
      [{ kind: 'before', seq: 4, limit: 10 }, []],
      [{ kind: 'before', seq: 1, limit: 10 }, []],
      [{ kind: 'before', seq: 99, limit: 2 }, [9, 10]],
    ];
    for (const [window, expected] of asked) {
      const { header, bodies } = await h.stored('c', window);
      same(
        bodies.map(({ seq }) => seq),
        expected,
        JSON.stringify(window),
      );
      same([header.first, header.next], [4, 11], `first and next with ${JSON.stringify(window)}`);
    }
  },
  'driver: a count or limit of 0 brings no message, never all': async ({ hand }) => {
    const h = hand();
    await h.create('c', texts(1, 5));
    const none: Window[] = [
      { kind: 'last', count: 0 },
      { kind: 'after', seq: 0, limit: 0 },
      { kind: 'after', seq: 2, before: 9, limit: 0 },
      { kind: 'before', seq: 4, limit: 0 },
    ];
    for (const window of none) {
      same((await h.stored('c', window)).bodies, [], JSON.stringify(window));
      same((await h.walk({ window }))[0]?.bodies, [], `in a list: ${JSON.stringify(window)}`);
    }
  },
  'driver: what lies below first is never returned': async ({ hand }) => {
    const h = hand();
    await h.create('trimmed', texts(1, 6));
    await h.append('trimmed', texts(7, 8), { maxMessages: 3 });
    await h.create('replaced', texts(1, 6));
    await h.put('replaced', texts(7, 9));
    const windows: Window[] = [
      { kind: 'all' },
      { kind: 'last', count: 100 },
      { kind: 'after', seq: 0, limit: 100 },
      { kind: 'after', seq: 2, limit: 100 },
      { kind: 'before', seq: 100, limit: 100 },
    ];
    for (const [id, expected] of [
      ['trimmed', [6, 7, 8]],
      ['replaced', [7, 8, 9]],
    ] as const) {
      for (const window of windows) {
        if (window.kind === 'none') continue;
        const { bodies } = await h.stored(id, window);
        same(
          bodies.map(({ seq }) => seq),
          [...expected],
          `${id} with ${JSON.stringify(window)}`,
        );
      }
      const listed = (await h.walk({ window: { kind: 'all' } })).find(({ header }) => header.id === id);
      same(
        listed?.bodies.map(({ seq }) => seq),
        [...expected],
        `${id} in a list`,
      );
    }
  },
  'driver: lists bring the same windows as reads': async ({ hand }) => {
    const h = hand();
    for (const id of ['a', 'b', 'c']) await h.create(id, texts(1, 5, id));
    const windows: Window[] = [
      { kind: 'none' },
      { kind: 'all' },
      { kind: 'last', count: 2 },
      { kind: 'after', seq: 1, limit: 2 },
      { kind: 'before', seq: 3, limit: 5 },
    ];
    for (const window of windows) {
      for (const item of await h.walk({ window })) same(item, await h.stored(item.header.id, window), JSON.stringify(window));
    }
  },
  'a window never begins with an orphan result and may be shorter': async ({ provider }) => {
    const p = provider();
    const messages = [user('q'), calling('k1', 'k2'), answering('k1'), answering('k2'), user('thanks')];
    unwrap(await p.storeMessages('c', messages));
    const expected: [number, number][] = [
      [1, 1],
      [2, 1],
      [3, 1],
      [4, 4],
      [5, 5],
    ];
    for (const [limit, length] of expected) {
      const window = messages.slice(messages.length - length);
      same(await p.getRecentMessages('c', limit), window, `getRecentMessages ${limit}`);
      same((await p.getConversation('c', { messageLimit: limit }))?.messages, window, `getConversation ${limit}`);
      same((await p.findConversations({ messageLimit: limit }))[0]?.messages, window, `findConversations ${limit}`);
      for await (const one of p.iterateConversations({ messageLimit: limit })) same(one.messages, window, `iterateConversations ${limit}`);
    }
  },
  'a trim that cuts a tool turn leaves no orphan in front of a window': async ({ provider }) => {
    const p = provider();
    unwrap(await p.storeMessages('c', [user('q'), calling('k1'), answering('k1'), user('next')], undefined, { maxMessages: 2 }));
    same(await p.getRecentMessages('c'), [user('next')], 'getRecentMessages');
    const whole = present(await p.getConversation('c'), 'conversation');
    same(whole.messages, [answering('k1'), user('next')], 'getConversation whole is raw');
    equal(whole.messageCount, 2, 'messageCount');
    const { items } = await p.getMessages('c', {});
    same(
      items.map(({ message }) => message),
      [answering('k1'), user('next')],
      'getMessages is raw',
    );
  },
  'a conversation of results only has an empty window': async ({ provider }) => {
    const p = provider();
    unwrap(await p.storeMessages('c', [answering('a'), answering('b')]));
    same(await p.getRecentMessages('c'), [], 'getRecentMessages');
    equal((await p.getConversation('c'))?.messages.length, 2, 'whole');
  },
  'call ids that repeat within a conversation are ordinary': async ({ provider }) => {
    const p = provider();
    const turn = [user('q'), calling('call_1'), answering('call_1', 'first')];
    const again = [user('q'), calling('call_1'), answering('call_1', 'second')];
    unwrap(await p.storeMessages('c', [...turn, ...again]));
    same(await p.getRecentMessages('c', 2), [calling('call_1'), answering('call_1', 'second')], 'the newest turn');
    same(await p.getRecentMessages('c', 1), [], 'its result alone');
    same(await p.getRecentMessages('c', 4), again, 'a cut right behind the first result’s call');
  },
  'a window of a long conversation is its end': async ({ provider }) => {
    const p = provider();
    unwrap(await p.storeMessages('c', say(1, 500)));
    for (let from = 501; from <= 1000; from += 100) unwrap(await p.appendMessages('c', say(from, from + 99)));
    same(contents(await p.getRecentMessages('c', 3)), texts(998, 1000), 'newest');
    const { items } = await p.getMessages('c', { after: 499, limit: 3 });
    check(items.map(({ seq }) => seq).join() === '500,501,502', 'a range in the middle');
  },
});
