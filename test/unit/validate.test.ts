import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { copyJson } from '../../src/memory/json.js';
import { Problems } from '../../src/memory/problems.js';
import { checkId, checkInteger, checkMessage, checkMessages, checkMetadata, checkTtl } from '../../src/memory/validate.js';

const problemsOf = (check: (problems: Problems) => void): string[] => {
  const problems = new Problems();
  check(problems);
  return problems.found.map((p) => `${p.path}: ${p.reason}`);
};
const json = (value: unknown): string[] => problemsOf((p) => copyJson('v', value, p));
const message = (value: unknown): string[] => problemsOf((p) => checkMessage('m', value, p));
const id = (value: unknown): string[] => problemsOf((p) => checkId('id', value, p));

describe('ids', () => {
  it.each(['a', '*', 'a:b', '[ab]', "o'hara", '{x}', '🎉'.repeat(255), ' ', '\n', 'é'.repeat(255)])('accept %j', (value) => {
    expect(id(value)).toEqual([]);
  });
  it.each([
    ['', 'id: expected 1 to 255 characters, got none'],
    ['🎉'.repeat(256), 'id: expected 1 to 255 characters, got 256'],
    ['a\0b', 'id: U+0000 is not allowed in an id'],
    ['a\ud800', 'id: a lone surrogate is not allowed in an id'],
    [7, 'id: expected a string, got a number'],
    [undefined, 'id: expected a string, got undefined'],
  ])('refuse %j', (value, problem) => {
    expect(id(value)).toEqual([problem]);
  });
});

describe('JSON values', () => {
  it('accept whatever JSON can hold', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(json(value)).toEqual([]);
      }),
    );
  });
  it.each([
    [Number.NaN, 'v: JSON cannot hold NaN'],
    [{ a: [1, Number.POSITIVE_INFINITY] }, 'v.a[1]: JSON cannot hold Infinity'],
    [{ a: 1n }, 'v.a: JSON cannot hold a bigint'],
    [{ a: () => 1 }, 'v.a: JSON cannot hold a function'],
    [{ a: Symbol('s') }, 'v.a: JSON cannot hold a symbol'],
    [{ a: new Date() }, 'v.a: expected a plain object, got a Date'],
    [{ a: new Map() }, 'v.a: expected a plain object, got a Map'],
    [[new (class Invoice {})()], 'v[0]: expected a plain object, got a Invoice'],
    [{ a: Buffer.from('x') }, 'v.a: expected a plain object, got a Buffer'],
  ])('refuse %o', (value, problem) => {
    expect(json(value)).toEqual([problem]);
  });
  it('are copied as JSON text would bring them back, deeply frozen', () => {
    const isFrozen = (value: unknown): boolean =>
      typeof value !== 'object' || value === null || (Object.isFrozen(value) && Object.values(value).every(isFrozen));
    const loose = fc.anything({
      values: [
        fc.string(),
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        fc.boolean(),
        fc.constant(null),
        fc.constant(undefined),
        fc.constant(-0),
      ],
    });
    fc.assert(
      fc.property(fc.oneof(fc.jsonValue(), loose), (value) => {
        const problems = new Problems();
        const copy = copyJson('v', value, problems);
        expect(problems.found).toEqual([]);
        expect(copy).toStrictEqual(value === undefined ? undefined : JSON.parse(JSON.stringify(value)));
        expect(isFrozen(copy)).toBe(true);
        if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) expect(copy).not.toBe(value);
      }),
    );
  });
  it('keep __proto__ an ordinary key', () => {
    const copy = copyJson('v', JSON.parse('{"__proto__":{"polluted":1}}'), new Problems()) as object;
    expect(Object.keys(copy)).toEqual(['__proto__']);
    expect((copy as { polluted?: number }).polluted).toBeUndefined();
  });
  it('are read once: what was checked is what is copied', () => {
    let reads = 0;
    const value = {
      get a() {
        return ++reads === 1 ? 'checked' : Number.NaN;
      },
    };
    expect(copyJson('v', value, new Problems())).toEqual({ a: 'checked' });
    expect(reads).toBe(1);
  });
  it('refuse cycles, and accept the same object twice', () => {
    const cycle: { self?: unknown } = {};
    cycle.self = { cycle };
    expect(json(cycle)).toEqual(['v.self.cycle: a cycle']);
    const shared = { a: 1 };
    expect(json([shared, shared])).toEqual([]);
  });
  it('refuse bottomless nesting without overflowing the stack', () => {
    let deep: unknown = 1;
    for (let i = 0; i < 100_000; i++) deep = [deep];
    expect(json(deep)[0]).toMatch(/nested deeper than 1000 levels$/);
  });
  it('accept objects without a prototype and of another realm', async () => {
    const { runInNewContext } = await import('node:vm');
    expect(json(Object.assign(Object.create(null), { a: 1 }))).toEqual([]);
    expect(json(runInNewContext('({ a: [1, { b: 2 }] })'))).toEqual([]);
  });
});

describe('messages', () => {
  it('are copied, frozen, with null for content left out', () => {
    const given = { role: 'user', content: [{ type: 'text', text: 'a' }] };
    const [copy, plain, bare] = checkMessages(
      [given, { role: 'user', content: 'x' }, { role: 'assistant', tool_calls: [] }],
      new Problems(),
    );
    (given.content[0] as { text: string }).text = 'changed';
    expect(copy).toEqual({ role: 'user', content: [{ type: 'text', text: 'a' }] });
    expect(plain).toEqual({ role: 'user', content: 'x' });
    expect(bare).toEqual({ role: 'assistant', tool_calls: [], content: null });
    expect([copy, plain, bare].every((message) => Object.isFrozen(message))).toBe(true);
  });
  it.each([
    { role: 'user', content: 'x' },
    { role: 'user', content: '' },
    { role: 'assistant', content: null, tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: '{}' } }] },
    { role: 'assistant', tool_calls: [{ id: 'c', type: 'custom', custom: { name: 'f', input: '' } }] },
    { role: 'assistant', content: 'x', refusal: null, annotations: [], function_call: null },
    { role: 'tool', content: 'r', tool_call_id: 'c' },
    { role: 'function', name: 'f', content: 'r' },
    {
      role: 'user',
      content: [
        { type: 'text', text: 'a' },
        { type: 'input_audio', input_audio: { data: '', format: 'wav' } },
      ],
    },
    { role: 'user', content: 'x', attachments: [{ kind: 'image', url: 'https://example.com/a.png' }] },
  ])('accept %j', (value) => {
    expect(message(value)).toEqual([]);
  });
  it.each([
    [{ role: 'bot', content: 'x' }, 'm.role: expected system, developer, user, assistant or tool, got "bot"'],
    [{ content: 'x' }, 'm.role: expected system, developer, user, assistant or tool, got undefined'],
    [{ role: 'user' }, 'm.content: expected a string, an array of parts or null, got nothing'],
    [{ role: 'user', content: 3 }, 'm.content: expected a string, an array of parts or null, got a number'],
    [{ role: 'user', content: ['x'] }, 'm.content[0]: expected an object with a string "type", got a string'],
    [{ role: 'assistant', content: 'x', toolCalls: [] }, 'm.toolCalls: the wire format spells it tool_calls'],
    [{ role: 'tool', content: 'x', toolCallId: 'c' }, 'm.toolCallId: the wire format spells it tool_call_id'],
    [
      { role: 'assistant', content: '', tool_calls: [{ type: 'function' }] },
      'm.tool_calls[0]: expected an object with a string "id", got an object',
    ],
    [
      { role: 'assistant', content: '', tool_calls: [{ id: 'a', type: 'function', function: { name: 'f', arguments: {} } }] },
      'm.tool_calls[0].function: expected { name, arguments } with arguments as JSON text',
    ],
    ['hello', 'm: expected a message object, got a string'],
  ])('refuse %j', (value, problem) => {
    expect(message(value)).toEqual([problem]);
  });
  it('never quote content', () => {
    expect(message({ role: 'secret-role'.repeat(50), content: { secret: 'hunter2' } }).join()).not.toContain('hunter2');
  });
});

describe('metadata', () => {
  const metadata = (value: unknown, isSlot = true): string[] => problemsOf((p) => checkMetadata(value, p, isSlot));
  it('reads the reserved keys in either spelling', () => {
    expect(checkMetadata({ user_id: 'u', traceId: 't', legalHold: true, other: 1 }, new Problems(), true)).toEqual({
      owner: 'u',
      trace: 't',
      hold: true,
    });
    expect(metadata({ userId: 'a', user_id: 'b' })).toEqual(['metadata.user_id: contradicts metadata.userId']);
    expect(metadata({ userId: 5 })).toEqual(['metadata.userId: expected a string, got a number']);
    expect(metadata({ legalHold: 'yes' })).toEqual(['metadata.legalHold: expected true or false, got a string']);
  });
  it('finds options typed into its slot, and lets a restore keep such keys', () => {
    expect(metadata({ createIfMissing: true })).toEqual(['metadata.createIfMissing: options are the fourth argument, metadata the third']);
    expect(metadata({ createIfMissing: true }, false)).toEqual([]);
  });
  it.each([
    [null, 'null'],
    [[], 'an array'],
    ['x', 'a string'],
  ])('refuses %j', (value, kind) => {
    expect(metadata(value)).toEqual([`metadata: expected an object, got ${kind}`]);
  });
});

describe('numbers', () => {
  it('whole numbers in range', () => {
    expect(problemsOf((p) => checkInteger('n', 0, 1, p))).toEqual(['n: expected a whole number of at least 1, got 0']);
    expect(problemsOf((p) => checkInteger('n', 1.5, 1, p, 9))).toEqual(['n: expected a whole number from 1 to 9, got 1.5']);
    expect(problemsOf((p) => checkInteger('n', '3', 1, p))).toEqual(['n: expected a whole number, got a string']);
  });
  it('seconds of a TTL', () => {
    for (const bad of [0, -1, Number.NaN, Number.POSITIVE_INFINITY, '60'])
      expect(
        problemsOf((p) => checkTtl('ttl', bad, p)),
        String(bad),
      ).toHaveLength(1);
    for (const good of [0.5, 1, 2_592_000, null]) expect(problemsOf((p) => checkTtl('ttl', good, p))).toEqual([]);
    expect(problemsOf((p) => checkTtl('ttl', null, p, false))).toHaveLength(1);
  });
});
