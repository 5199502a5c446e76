/**
 * Cases about values coming back exactly as they went in.
 *
 * @module
 */
import { MemoryValidationError } from '../../errors.js';
import { unwrap } from '../../result.js';
import type { JsonValue, Message, Metadata } from '../../types.js';
import { check, equal, failed, present, same } from '../assert.js';
import { type Case, defineCases } from '../case.js';
import { bodyOf, textsIn } from '../hand.js';

/** Texts that some store, client or query language is known to damage. */
const TEXTS = [
  '',
  ' ',
  '\0',
  'a\0b',
  '\\u0000',
  '\ud800',
  '\udfff',
  'a\ud800b\udc00\ud83d',
  '\u{1f600}\u{1f468}\u200d\u{1f469}',
  '\ufeffbom',
  '\ufffd',
  '\uffff',
  'line\nline\r\nline\u2028\u2029',
  '\t\b\f\v\x1b[31m\x7f',
  "quote ' \" ` \\ \\\\ \\' \\n",
  '%s %d ${x} {{x}} $1 ? :name --',
  "'); DROP TABLE conversations; --",
  'e\u0301 \u00e9 \u1e9b\u0323',
  '\u202eright to left',
  '0',
  'null',
  'undefined',
  'true',
  '[]',
  '{}',
  '{"a":1}',
  '1e1000',
  '__proto__',
  'x'.repeat(70_000),
] as const;

/** Numbers JSON can hold. */
const NUMBERS = [
  0,
  1,
  -1,
  0.1,
  1 / 3,
  1e21,
  1e-7,
  5e-324,
  1.7976931348623157e308,
  Number.MAX_SAFE_INTEGER,
  Number.MIN_SAFE_INTEGER,
  1.2345678901234567e19,
  1.0000000000000002,
];

/** An object with a key that is a trap in JavaScript, as JSON makes it. */
const PROTO = JSON.parse(
  '{"__proto__":{"polluted":true},"constructor":1,"toString":null,"":"empty key","a.b":1,"$ref":"x","a\\u0000b":2}',
) as Metadata;

/** Values in every position. */
const VALUES: readonly JsonValue[] = [
  null,
  true,
  false,
  '',
  0,
  [],
  {},
  [[]],
  [[], [[], [null]]],
  [null, null],
  { a: { b: { c: { d: [{ e: [] }] } } } },
  { '': '' },
  { '0': 'a', '1': 'b' },
  PROTO,
  [...NUMBERS],
  [...TEXTS],
];

/** Nested so deep. */
function nested(depth: number): JsonValue {
  let value: JsonValue = 'core';
  for (let n = 0; n < depth; n++) value = n % 2 ? [value] : { k: value };
  return value;
}

const MESSAGES: readonly Message[] = [
  ...TEXTS.map((content): Message => ({ role: 'user', content })),
  ...VALUES.map((extra): Message => ({ role: 'assistant', content: 'x', extra })),
  { role: 'assistant', content: null },
  { role: 'system', content: 's' },
  { role: 'developer', content: 'd', name: 'n' },
  {
    role: 'user',
    content: [
      { type: 'text', text: 't\0' },
      { type: 'image_url', image_url: { url: 'data:image/png;base64,AA==', detail: 'low' } },
      { type: 'file', file: { file_id: 'f', format: 'pdf' } },
    ],
  },
  {
    role: 'user',
    content: '',
    attachments: [
      { kind: 'image', mimeType: 'image/png', name: 'é.png', data: 'AAAA' },
      { kind: 'document', url: 'https://example.com/?a=1&b=2', format: 'pdf' },
    ],
  },
  {
    role: 'assistant',
    content: null,
    tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'f', arguments: '{"a": 1,  "b":"\\u0000"}' } }],
  },
  { role: 'tool', content: '{"a": [1, 2.50]}', tool_call_id: 'call_1', name: 'f', message_id: 'id-1' },
  { role: 'user', content: 'odd keys', ...PROTO },
  { role: 'user', content: 'metadata-like', created_at: '2024-01-15T10:00:00Z', user_id: 7, conversation_id: [1], expires_at: 0 },
];

/** Cases about values coming back exactly as they went in. */
export const fidelityCases: readonly Case[] = defineCases('fidelity', {
  'every message comes back exactly, in every way of reading': async ({ provider }) => {
    const p = provider();
    unwrap(await p.storeMessages('c', MESSAGES.slice(0, 20)));
    unwrap(await p.appendMessages('c', MESSAGES.slice(20)));
    same((await provider().getConversation('c'))?.messages, MESSAGES, 'getConversation');
    same(await provider().getRecentMessages('c', 1000), MESSAGES, 'getRecentMessages');
    const { items } = await provider().getMessages('c', { limit: 1000 });
    same(
      items.map(({ message }) => message),
      MESSAGES,
      'getMessages',
    );
    same((await provider().findConversations())[0]?.messages, MESSAGES, 'findConversations');
    for await (const { messages } of provider().iterateConversations()) same(messages, MESSAGES, 'iterateConversations');
  },
  'an own key __proto__ stays an own key': async ({ provider }) => {
    const p = provider();
    unwrap(await p.storeMessages('c', [{ role: 'user', content: 'x', extra: PROTO }], PROTO));
    unwrap(await p.appendMessages('c', [], JSON.parse('{"more":1,"__proto__":{"second":true}}') as Metadata));
    const read = present(await p.getConversation('c'), 'conversation');
    const extra = read.messages[0]?.['extra'] as object;
    same(Object.getOwnPropertyDescriptor(extra, '__proto__')?.value, { polluted: true }, 'in a message');
    same(Object.getOwnPropertyDescriptor(read.metadata, '__proto__')?.value, { second: true }, 'in merged metadata');
    equal(({} as { polluted?: unknown }).polluted, undefined, 'Object.prototype');
    same(Object.keys(read.metadata).sort(), [...Object.keys(PROTO), 'more'].sort(), 'keys of the metadata');
  },
  'metadata comes back exactly, stored and merged': async ({ provider }) => {
    const p = provider();
    const metadata = Object.fromEntries(VALUES.map((value, n) => [`k${n}`, value]));
    unwrap(await p.storeMessages('stored', [], metadata));
    same((await provider().getConversation('stored'))?.metadata, metadata, 'stored');
    same((await provider().findConversations({ conversationId: 'stored' }))[0]?.metadata, metadata, 'in a list');
    unwrap(await p.storeMessages('merged', [], { first: 1 }));
    for (const [key, value] of Object.entries(metadata)) unwrap(await p.appendMessages('merged', [], { [key]: value }));
    same((await provider().getConversation('merged'))?.metadata, { first: 1, ...metadata }, 'merged');
    unwrap(await p.appendMessages('stored', [], { last: 2 }));
    same((await provider().getConversation('stored'))?.metadata, { ...metadata, last: 2 }, 'stored, then merged');
  },
  'strings under keys that look like times stay strings; reserved keys stay as given': async ({ provider }) => {
    const p = provider();
    const metadata = {
      created_at: '2024-01-15T10:00:00Z',
      updatedAt: 5,
      expires_at: null,
      user_id: 'ann',
      traceId: 't',
      legalHold: false,
      version: 'x',
      messages: [],
      first: 1,
      epoch: 2,
    };
    unwrap(await p.storeMessages('c', [], metadata));
    unwrap(await p.appendMessages('c', [], { conversation_id: 'other', conversationId: 'other' }));
    const read = present(await p.getConversation('c'), 'conversation');
    same(read.metadata, { ...metadata, conversation_id: 'other', conversationId: 'other' }, 'metadata');
    same([read.conversationId, read.userId], ['c', 'ann'], 'conversationId and userId');
  },
  'metadata can be searched by every value it can hold': async ({ provider }) => {
    const p = provider();
    for (const [n, value] of VALUES.entries()) unwrap(await p.storeMessages(`c${n}`, [], { [`k${n}`]: value, all: 1 }));
    for (const [n, value] of VALUES.entries()) {
      const found = await p.findConversations({ metadata: { [`k${n}`]: value } });
      same(
        found.map(({ conversationId }) => conversationId),
        [`c${n}`],
        `by value ${n}`,
      );
    }
    equal((await p.findConversations({ metadata: { all: 1 } })).length, VALUES.length, 'by what all have');
  },
  'a message of 10 MB comes back, beside small ones': async ({ provider }) => {
    const p = provider();
    const large = '0123456789abcdé\n'.repeat(655_360);
    unwrap(
      await p.storeMessages('c', [
        { role: 'user', content: 'before' },
        { role: 'user', content: large },
        { role: 'user', content: 'after' },
      ]),
    );
    const [before, middle, after] = present(await p.getConversation('c'), 'conversation').messages;
    same([before?.content, after?.content], ['before', 'after'], 'its neighbours');
    check(middle?.content === large, 'the large message differs');
    check((await provider().getStats()).totalStorageSize > 10_485_760, 'totalStorageSize');
  },
  'deep nesting comes back': async ({ provider }) => {
    const p = provider();
    const value = nested(500);
    unwrap(await p.storeMessages('c', [{ role: 'user', content: 'x', value }], { value }));
    const read = present(await p.getConversation('c'), 'conversation');
    equal(JSON.stringify(read.messages[0]?.['value']), JSON.stringify(value), 'in a message');
    equal(JSON.stringify(read.metadata['value']), JSON.stringify(value), 'in metadata');
  },
  'undefined is dropped as JSON does': async ({ provider }) => {
    const p = provider();
    unwrap(
      await p.storeMessages('c', [{ role: 'user', content: 'x', gone: undefined, list: [1, undefined] }], {
        a: 1,
        gone: undefined,
      } as unknown as Metadata),
    );
    const read = present(await p.getConversation('c'), 'conversation');
    same(read.messages, [{ role: 'user', content: 'x', list: [1, null] }], 'messages');
    same(read.metadata, { a: 1 }, 'metadata');
  },
  'what JSON cannot hold is refused by its path, and nothing is written': async ({ provider }) => {
    const p = provider();
    const cycle: Record<string, unknown> = {};
    cycle['self'] = cycle;
    const bad: [string, unknown][] = [
      ['NaN', Number.NaN],
      ['Infinity', Number.NEGATIVE_INFINITY],
      ['a bigint', 1n],
      ['a function', () => 1],
      ['a symbol', Symbol('x')],
      ['a Date', new Date(0)],
      ['a Map', new Map()],
      ['a Set', new Set()],
      [
        'a class instance',
        new (class Thing {
          readonly field = 1;
        })(),
      ],
      ['a cycle', cycle],
      ['bytes', new Uint8Array(2)],
    ];
    for (const [what, value] of bad) {
      const inMessage = await p.storeMessages('c', [{ role: 'user', content: 'x', extra: { list: [0, value] } }]);
      const error = failed(inMessage, MemoryValidationError, 'invalid', `${what} in a message`);
      check(
        error.issues.some(({ path }) => path.startsWith('messages[0].extra.list[1]')),
        `${what}: path ${JSON.stringify(error.issues)}`,
      );
      const metadata = { deep: { value } } as unknown as Metadata;
      const inMetadata = failed(await p.storeMessages('c', [], metadata), MemoryValidationError, 'invalid', `${what} in metadata`);
      check(
        inMetadata.issues.some(({ path }) => path.startsWith('metadata.deep.value')),
        `${what}: path ${JSON.stringify(inMetadata.issues)}`,
      );
    }
    equal(await p.getConversation('c'), undefined, 'conversation');
  },
  'ids are refused when no store could tell them apart': async ({ provider }) => {
    const p = provider();
    for (const id of ['', 'a\0', '\ud800', 'x'.repeat(256), '😀'.repeat(256)]) {
      failed(await p.storeMessages(id, []), MemoryValidationError, 'invalid', `conversation id ${JSON.stringify(id.slice(0, 8))}`);
      failed(
        await p.storeMessages('c', [], undefined, { userId: id }),
        MemoryValidationError,
        'invalid',
        `user id ${JSON.stringify(id.slice(0, 8))}`,
      );
    }
    equal((await p.getStats()).totalConversations, 0, 'conversations');
  },

  'driver: a write of many bodies keeps each': async ({ hand }) => {
    const h = hand();
    const many = Array.from({ length: 3000 }, (_, n) => `body ${n}`);
    await h.create('c', many);
    same(textsIn(await h.read('c')), many, 'texts');
    equal(
      (await h.header('c')).bytes,
      many.reduce((sum, text) => sum + bodyOf(text).bytes, 2),
      'bytes',
    );
  },
});
