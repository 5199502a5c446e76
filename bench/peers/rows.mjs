// The rows of the comparison: what each peer is asked to do, with which conversations, and what is counted.
import { UNITS } from '../lib/compare.mjs';

const USER = 'user-1';
const ids = (name, count) => Array.from({ length: count }, (_, n) => `${name}-${n}`);
const held = { 'N = 10': 10, 'N = 1,000': 1000, 'N = 10,000': 10_000 };

/** What a peer lost, tore apart or put out of order of what it acknowledged. */
const faults = ({ acknowledged, lost, doubled, torn, outOfOrder }, concurrent) => ({
  'lost %': acknowledged === 0 ? 0 : (lost * 100) / acknowledged,
  ...(doubled > 0 ? { doubled } : {}),
  ...(torn > 0 ? { 'turns torn apart': torn } : {}),
  // (of concurrent callers of one conversation any order is right)
  ...(outOfOrder > 0 && !concurrent ? { 'out of order': outOfOrder } : {}),
});

/** Fresh conversations for each sample, so that they stay as long as the case says; verified and forgotten after it. */
function fresh(name, count, messages, work) {
  return (peer) => {
    let round = 0;
    const given = () => ({ ids: ids(`${name}-${round}`, count), userId: USER });
    return {
      prepare: () => {
        round++;
        return peer.ask('hold', { ...given(), messages });
      },
      work: (operations) => work(peer, { ...given(), operations }),
      after: async () => {
        const found = await peer.ask('verify', given());
        await peer.ask('forget', given());
        return faults(found, count === 1);
      },
    };
  };
}

/** Conversations that are filled once. */
function kept(name, count, messages, work, verified = false) {
  return (peer) => {
    const given = { ids: ids(name, count), userId: USER, messages };
    return {
      fill: () => peer.ask('hold', given),
      work: (operations) => work(peer, { ...given, operations }),
      after: async () => ({}),
      // once: reading long conversations takes some peers seconds
      end: async () => (verified ? faults(await peer.ask('verify', given)) : {}),
    };
  };
}

const sequential = (peer, given) => peer.ask('append', given);
const flight = (peer, given) => peer.ask('flight', { callers: 64, ...given });

/**
 * @typedef {{
 *   name: string, title: string, what: string, unit: object, needs?: 'list', operations: { memory: number, other: number },
 *   cases: Record<string, (peer: object) => object>
 * }} Row
 * @type {readonly Row[]}
 */
export const ROWS = [
  {
    name: 'peers-append',
    title: 'a turn appended to a conversation that holds N messages, one after the other',
    what: 'turn',
    unit: UNITS.micros,
    operations: { memory: 1200, other: 120 },
    cases: Object.fromEntries(
      Object.entries(held).map(([name, messages]) => [
        name,
        messages === 10
          ? fresh('short', 30, messages, sequential)
          : kept(`held-${messages}`, messages === 1000 ? 4 : 1, messages, sequential, true),
      ]),
    ),
  },
  {
    name: 'peers-flight',
    title: '64 turns in flight',
    what: 'acknowledged turn',
    unit: UNITS.rate,
    operations: { memory: 16_384, other: 2048 },
    cases: { '64 conversations': fresh('many', 64, 10, flight), 'one conversation': fresh('one', 1, 10, flight) },
  },
  {
    name: 'peers-read',
    title: 'reading conversations',
    what: 'read',
    unit: UNITS.micros,
    operations: { memory: 200, other: 50 },
    cases: {
      'newest 50 of 1,000': kept('read-1000', 4, 1000, (peer, given) => peer.ask('recent', { ...given, limit: 50 })),
      'newest 50 of 10,000': kept('read-10000', 1, 10_000, (peer, given) => peer.ask('recent', { ...given, limit: 50 })),
      'all of 1,000': kept('whole-1000', 4, 1000, (peer, given) => peer.ask('whole', given)),
    },
  },
  {
    name: 'peers-list',
    title: 'one user’s 20 newest conversations of 5,000 of ten users',
    what: 'list',
    unit: UNITS.micros,
    needs: 'list',
    operations: { memory: 30, other: 30 },
    cases: {
      '20 of 5,000': (peer) => ({
        fill: async () => {
          for (let user = 0; user < 10; user++) await peer.ask('hold', { ids: ids(`u${user}`, 500), userId: `user-${user}`, messages: 2 });
        },
        work: (operations) => peer.ask('list', { userIds: Array.from({ length: 10 }, (_, n) => `user-${n}`), limit: 20, operations }),
        after: async () => ({}),
      }),
    },
  },
  {
    name: 'peers-size',
    title: 'bytes a message of 400 characters takes, in conversations of 500 written turn by turn',
    what: 'message',
    unit: UNITS.bytes,
    operations: { memory: 4, other: 2 },
    cases: { '500 messages': sized },
  },
];

/** Some conversations more each time, by what the store grows. */
function sized(peer) {
  let round = 0;
  return {
    work: async (operations) => {
      const given = { ids: ids(`size-${++round}`, operations), userId: USER };
      const before = await peer.ask('size');
      await peer.ask('hold', { ...given, messages: 0 });
      for (let turns = 0; turns < 250; turns += 50)
        await peer.ask('append', { ...given, operations: 50 * operations, longest: Number.MAX_VALUE });
      // what a store does afterwards to make itself smaller
      await new Promise((resolve) => setTimeout(resolve, 300));
      const grown = (await peer.ask('size')) - before;
      await peer.ask('forget', given);
      return { bytes: grown / (operations * 500) };
    },
    after: async () => ({}),
  };
}
