// Whatever callers and environments say: an answer or a typed error, and nothing else.
import fc from 'fast-check';
import {
  createInMemoryProvider,
  getMemoryProviderInfo,
  MemoryConfigError,
  type Message,
  repairMessages,
  textOf,
  toChatMessages,
  unwrap,
  user,
  verifyMessages,
} from 'jaf/memory';
import { describe, expect, it } from 'vitest';
import { anything, key, options, RUNS, tally, text } from './fuzz.js';

const { note, answer } = tally('memory', 'fuzzed arguments and environments');

/** Nearly a message. */
const message = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record(
      {
        role: fc.constantFrom('user', 'assistant', 'system', 'developer', 'tool', 'function', 'USER', ''),
        content: fc.oneof(text, anything),
        name: fc.oneof(text, anything),
        tool_calls: fc.oneof(fc.constant([{ id: 'c', type: 'function', function: { name: 'f', arguments: '{' } }]), anything),
        tool_call_id: fc.oneof(text, anything),
        extra: anything,
      },
      { requiredKeys: [] },
    ),
  },
  { weight: 1, arbitrary: anything },
);

/** A message with odd texts. */
const sound = fc.record(
  {
    role: fc.constantFrom('user', 'assistant', 'system', 'developer'),
    content: text,
    name: text,
    extra: fc.jsonValue(),
    ['__proto__x']: fc.jsonValue(),
  },
  { requiredKeys: ['role', 'content'] },
);

describe('arguments', () => {
  it('messages and metadata: stored exactly, or refused with a path', { timeout: 0 }, async () => {
    await using provider = createInMemoryProvider();
    const values = fc.oneof(
      { weight: 2, arbitrary: fc.array(sound, { maxLength: 3 }) },
      { weight: 1, arbitrary: fc.array(message, { maxLength: 3 }) },
    );
    const metadataOrNot = fc.oneof(fc.constant(undefined), fc.dictionary(key, fc.jsonValue()), anything);
    await fc.assert(
      fc.asyncProperty(values, metadataOrNot, async (messages, metadata) => {
        await provider.deleteConversation('poison');
        const result = await provider.storeMessages('poison', messages as Message[], metadata as never);
        if (!result.ok) {
          expect(result.error).toMatchObject({ name: 'MemoryValidationError', outcome: 'not_applied' });
          note('messages: refused');
          return;
        }
        note('messages: stored');
        const expected = JSON.parse(JSON.stringify({ messages, metadata: metadata ?? {} })) as unknown;
        const read = await provider.getConversation('poison');
        expect(JSON.parse(JSON.stringify({ messages: read?.messages, metadata: read?.metadata }))).toEqual(expected);
        // what is built on messages takes them all
        verifyMessages(messages as Message[]);
        repairMessages(read?.messages ?? []);
        toChatMessages(read?.messages ?? []);
        for (const m of read?.messages ?? []) textOf(m);
      }),
      options,
    );
  });

  it('checks and repairs of messages nobody checked before', { timeout: 0 }, () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 6 }), (messages) => {
        verifyMessages(messages as Message[]);
        const { messages: repaired } = repairMessages(messages as Message[]);
        const pairs = verifyMessages(repaired).issues.filter(({ kind }) => /tool-result/.test(kind));
        expect(pairs).toEqual([]);
      }),
      options,
    );
  });

  it('ids, options and queries: typed errors, and no conversation but the one named', { timeout: 0 }, async () => {
    await using provider = createInMemoryProvider();
    unwrap(await provider.storeMessages('mine', [user('x')], undefined, { userId: 'me' }));
    const odd = fc.oneof(text, anything);
    await fc.assert(
      fc.asyncProperty(
        odd,
        odd,
        fc.dictionary(
          fc.constantFrom(
            'userId',
            'since',
            'until',
            'limit',
            'offset',
            'order',
            'metadata',
            'messageLimit',
            'traceId',
            'after',
            'before',
            'ttl',
            'maxMessages',
            'expectedVersion',
            'operationId',
            'createIfMissing',
            'signal',
          ),
          odd,
        ),
        async (id, who, more) => {
          fc.pre(id !== 'mine' && who !== 'me' && more['userId'] !== 'me');
          await answer('get', () => provider.getConversation(id as string, more as never));
          await answer('recent', () => provider.getRecentMessages(id as string, more['limit'] as never));
          await answer('page', () => provider.getMessages(id as string, more as never));
          await answer('delete', () => provider.deleteConversation(id as string, more as never));
          await answer('clear', () => provider.clearUserConversations(who as string));
          await answer('stats', () => provider.getStats(who as string));
          await answer('find', async () => {
            const list = await provider.findConversations(more);
            if (more['userId'] !== undefined) for (const c of list) expect(c.userId).toBe(more['userId']);
          });
          await answer('iterate', async () => {
            for await (const c of provider.iterateConversations(more)) expect(c.conversationId).toBeTypeOf('string');
          });
          await answer('forUser', () => provider.forUser(who as string).findConversations());
          const result = await provider.appendMessages(id as string, [user('y')], undefined, more);
          if (!result.ok) expect(result.error.code).not.toBe('internal');
          expect((await provider.getConversation('mine'))?.messages.map(textOf)).toEqual(['x']);
        },
      ),
      { ...options, numRuns: Math.ceil(RUNS / 4) },
    );
  });

  it('environments: a configuration or a MemoryConfigError, and no secret in it', { timeout: 0 }, () => {
    const SECRET = 'pl4nted-s3cret';
    const names = [
      'JAF_MEMORY_TYPE',
      'JAF_MEMORY_MAX_CONVERSATIONS',
      'JAF_SQLITE_PATH',
      'JAF_SQLITE_DURABILITY',
      'JAF_REDIS_URL',
      'JAF_REDIS_HOST',
      'JAF_REDIS_PORT',
      'JAF_REDIS_DB',
      'JAF_REDIS_TTL',
      'JAF_REDIS_TLS',
      'JAF_REDIS_SENTINEL_HOSTS',
      'JAF_REDIS_CLUSTER_NODES',
      'JAF_REDIS_KEY_PREFIX',
      'JAF_POSTGRES_CONNECTION_STRING',
      'JAF_POSTGRES_PORT',
      'JAF_POSTGRES_SSL',
      'JAF_POSTGRES_TABLE_NAME',
      'JAF_POSTGRES_SCHEMA',
      'JAF_POSTGRES_POOL_MAX_SIZE',
      'JAF_POSTGRES_LAYOUT',
    ];
    const value = fc.oneof(
      text,
      fc.constantFrom(
        'memory',
        'sqlite',
        'redis',
        'postgres',
        '1e9',
        '-1',
        'true',
        `redis://u:${SECRET}@h:1/x`,
        `postgres://u:${SECRET}@h:99999/`,
        `redis://${SECRET}@[`,
        'a:b:c',
        '# comment',
      ),
    );
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...names), value), fc.boolean(), (env, withSecret) => {
        const full = withSecret ? { ...env, JAF_REDIS_PASSWORD: SECRET, JAF_POSTGRES_PASSWORD: SECRET } : env;
        let shown: string;
        let refused = false;
        try {
          shown = JSON.stringify(getMemoryProviderInfo(full));
        } catch (error) {
          expect(error).toBeInstanceOf(MemoryConfigError);
          refused = true;
          shown = `${String(error)} ${JSON.stringify(error)}`;
        }
        expect(shown).not.toContain(SECRET);
        note(`environment: ${refused ? 'refused' : 'answered'}`);
      }),
      options,
    );
  });
});
