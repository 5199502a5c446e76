/** Random programs: what several clients call at the same time, round after round, and what goes wrong meanwhile. */
import fc from 'fast-check';

/** A call whose ids, times and versions are filled in when it is made. */
export type Draft =
  | {
      readonly op: 'store' | 'append';
      readonly id: number;
      readonly scope?: number | undefined;
      readonly shape: string;
      readonly metadata?: Readonly<Record<string, unknown>> | undefined;
      readonly user?: number | undefined;
      readonly create: boolean;
      readonly ttl?: number | null | undefined;
      readonly maxMessages?: number | undefined;
      readonly compressionThreshold?: number | undefined;
      readonly expected?: 'none' | 'seen' | 'other' | undefined;
      readonly operation?: number | undefined;
    }
  | {
      readonly op: 'restore';
      readonly id: number;
      readonly scope?: number | undefined;
      readonly shape: string;
      readonly metadata: Readonly<Record<string, unknown>>;
      readonly user?: number | undefined;
      readonly age: number;
      readonly lasts?: number | undefined;
      readonly firstSeq: number;
      readonly onConflict: 'skip' | 'replace' | 'fail';
    }
  | { readonly op: 'get'; readonly id: number; readonly scope?: number | undefined; readonly limit?: number | undefined }
  | { readonly op: 'recent'; readonly id: number; readonly scope?: number | undefined; readonly limit: number }
  | {
      readonly op: 'page';
      readonly id: number;
      readonly scope?: number | undefined;
      readonly after?: number | undefined;
      readonly before?: number | undefined;
      readonly limit: number;
    }
  | { readonly op: 'find' | 'iterate'; readonly user: number; readonly scoped: boolean; readonly mark?: string | undefined }
  | { readonly op: 'delete'; readonly id: number; readonly scope?: number | undefined; readonly expected?: 'seen' | 'other' | undefined }
  | { readonly op: 'clear' | 'stats' | 'erase'; readonly user: number }
  | { readonly op: 'purge'; readonly user: number; readonly everybody: boolean };

/** Faults: see `faulty` of the kit. `late` and `slow`: how many rounds, and how many turns of the event loop later. */
export interface PlannedFault {
  readonly client: number;
  /** After so many trips of that client. */
  readonly trip: number;
  readonly kind: 'fail' | 'lose-request' | 'lose-reply' | 'late' | 'slow-request' | 'slow-reply' | 'silence';
  readonly rounds: number;
}

/** A round: calls made at once; then a client may die, and time passes. */
export interface Round {
  readonly calls: readonly { readonly client: number; readonly draft: Draft }[];
  /** Dies with its calls under way; another takes its place. */
  readonly killed?: number | undefined;
  /** Milliseconds after it. */
  readonly pause: number;
}

/** A program. */
export interface Program {
  readonly rounds: readonly Round[];
  readonly faults: readonly PlannedFault[];
}

export const CLIENTS = 3;
export const CONVERSATIONS = 3;
export const USERS = 2;

/** A value, or in so many of ten cases none. */
const maybe = <T>(value: fc.Arbitrary<T>, without: number): fc.Arbitrary<T | undefined> =>
  fc.oneof({ weight: 10 - without, arbitrary: value }, { weight: without, arbitrary: fc.constant(undefined) });
const id = fc.nat({ max: CONVERSATIONS - 1 });
const user = fc.nat({ max: USERS - 1 });
const scope = maybe(user, 8);
const rarely = maybe(user, 8);
/** In a shape: as many messages as are packed together, and some. */
export const MANY = '*';
const shape = fc.oneof(
  { weight: 30, arbitrary: fc.constantFrom('u', 'ua', 'uu', 'c', 'cr', 'crr', 'r', 'uara', '') },
  { weight: 2, arbitrary: fc.constant(MANY) },
);
/** Places among few messages, and at the end of a segment. */
const place = fc.oneof({ weight: 4, arbitrary: fc.nat({ max: 14 }) }, { weight: 1, arbitrary: fc.integer({ min: 126, max: 132 }) });
const metadata = fc.oneof(
  { weight: 4, arbitrary: fc.record({ mark: fc.constantFrom('x', 'y') }) },
  {
    weight: 2,
    arbitrary: fc.constantFrom<Readonly<Record<string, unknown>>>({}, { a: null }, { a: { b: [1, '\0\ud800'] } }, { 'it’s': -0.5 }),
  },
  { weight: 1, arbitrary: fc.record({ legalHold: fc.boolean() }) },
);

const append = fc.record({
  op: fc.constantFrom<'append' | 'store'>('append', 'append', 'append', 'append', 'store'),
  id,
  scope,
  shape,
  metadata: maybe(metadata, 6),
  user: rarely,
  create: fc.constantFrom(true, true, true, false),
  ttl: maybe(fc.constantFrom(null, 1, 100), 8),
  maxMessages: maybe(fc.constantFrom(1, 4, 7), 8),
  compressionThreshold: maybe(fc.constantFrom(1, 3), 7),
  expected: maybe(fc.constantFrom('none' as const, 'seen' as const, 'seen' as const, 'other' as const), 8),
  operation: maybe(fc.nat({ max: 2 }), 7),
});
const restore = fc.record({
  op: fc.constant('restore' as const),
  id,
  scope,
  shape,
  metadata,
  user: rarely,
  age: fc.constantFrom(0, 5000),
  lasts: maybe(fc.constantFrom(1000, 100_000), 5),
  firstSeq: fc.constantFrom(1, 9),
  onConflict: fc.constantFrom<'skip' | 'replace' | 'fail'>('skip', 'replace', 'fail'),
});
const limit = fc.constantFrom(0, 1, 2, 3, 5, 50, 150);
const draft: fc.Arbitrary<Draft> = fc.oneof(
  { weight: 14, arbitrary: append },
  { weight: 2, arbitrary: restore },
  { weight: 4, arbitrary: fc.record({ op: fc.constant('get' as const), id, scope: rarely, limit: maybe(limit, 5) }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('recent' as const), id, scope: rarely, limit }) },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant('page' as const),
      id,
      scope: rarely,
      after: maybe(place, 5),
      before: maybe(
        place.map((seq) => Math.max(1, seq)),
        5,
      ),
      limit,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constantFrom<'find' | 'iterate'>('find', 'iterate'),
      user,
      scoped: fc.boolean(),
      mark: maybe(fc.constantFrom('x', 'y'), 7),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant('delete' as const),
      id,
      scope: rarely,
      expected: maybe(fc.constantFrom('seen' as const, 'other' as const), 6),
    }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constantFrom<'clear' | 'stats'>('clear', 'stats'), user }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('purge' as const), user, everybody: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('erase' as const), user }) },
);

const client = fc.nat({ max: CLIENTS - 1 });
const round: fc.Arbitrary<Round> = fc.record({
  calls: fc.array(fc.record({ client, draft }), { minLength: 1, maxLength: 5 }),
  killed: maybe(client, 9),
  pause: fc.constantFrom(0, 0, 1, 50, 2000, 120_000, 4_000_000),
});
const fault: fc.Arbitrary<PlannedFault> = fc.record({
  client,
  trip: fc.nat({ max: 12 }),
  kind: fc.constantFrom<PlannedFault['kind']>(
    'fail',
    'lose-request',
    'lose-request',
    'lose-reply',
    'lose-reply',
    'lose-reply',
    'late',
    'late',
    'slow-request',
    'slow-reply',
    'silence',
  ),
  rounds: fc.nat({ max: 3 }),
});

/** Calls of a program, at least. */
const LEAST_CALLS = 30;

/** Programs of 30 to 80 calls of all clients. */
export const program: fc.Arbitrary<Program> = fc
  .record({
    rounds: fc.array(round, { minLength: 11, maxLength: 20 }),
    faults: fc.array(fault, { minLength: 2, maxLength: 8 }),
  })
  .filter(({ rounds }) => {
    const calls = rounds.flatMap((one) => one.calls);
    return calls.length >= LEAST_CALLS && new Set(calls.map((call) => call.client)).size === CLIENTS;
  });
