/**
 * What a conversation is, for somebody who has read the table of semantics and nothing else: the reference that histories
 * are checked against. It shares no code with the package.
 */

/** A call of a provider, as data. */
export type Call =
  | StoreCall
  | {
      readonly op: 'restore';
      readonly id: string;
      readonly scope?: string | undefined;
      readonly snapshot: Snapshot;
      readonly onConflict: 'skip' | 'replace' | 'fail';
    }
  | { readonly op: 'get'; readonly id: string; readonly scope?: string | undefined; readonly limit?: number | undefined }
  | { readonly op: 'recent'; readonly id: string; readonly scope?: string | undefined; readonly limit: number }
  | {
      readonly op: 'page';
      readonly id: string;
      readonly scope?: string | undefined;
      readonly after?: number | undefined;
      readonly before?: number | undefined;
      readonly limit: number;
    }
  | { readonly op: 'find' | 'iterate'; readonly user: string; readonly scoped: boolean; readonly mark?: string | undefined }
  | { readonly op: 'delete'; readonly id: string; readonly scope?: string | undefined; readonly expected?: number | undefined }
  | { readonly op: 'clear' | 'stats' | 'erase'; readonly user: string }
  | { readonly op: 'purge'; readonly user: string; readonly everybody: boolean };

/** `storeMessages` or `appendMessages`. */
export interface StoreCall {
  readonly op: 'store' | 'append';
  readonly id: string;
  readonly scope?: string | undefined;
  /** Kind (`u`ser, `a`ssistant, `c`all, `r`esult) and a number that no other message has. */
  readonly tags: readonly string[];
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
  readonly userId?: string | undefined;
  readonly create: boolean;
  /** Seconds. */
  readonly ttl?: number | null | undefined;
  readonly maxMessages?: number | undefined;
  readonly compressionThreshold?: number | undefined;
  readonly expected?: number | undefined;
  readonly operationId?: string | undefined;
}

/** What a restore puts there. Times in ms. */
export interface Snapshot {
  readonly tags: readonly string[];
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly userId?: string | undefined;
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly expiresAt?: number | undefined;
  readonly firstSeq: number;
}

/** What a provider's options add to its writes. */
export interface Defaults {
  readonly ttl?: number;
  readonly maxMessages?: number;
  readonly compressionThreshold?: number;
}

/** What a write answered. */
export type Written =
  | { readonly ok: true; readonly version: number; readonly messageCount: number; readonly created: boolean; readonly duplicate: boolean }
  | { readonly ok: false; readonly code: string; readonly actualVersion?: number | undefined };

/** What a read saw of a conversation. */
export type Seen = readonly [
  version: number,
  count: number,
  owner: string | null,
  createdAt: number,
  updatedAt: number,
  expiresAt: number | null,
  metadata: string,
  tags: readonly string[],
];

interface Life {
  readonly owner: string | undefined;
  readonly createdAt: number;
  readonly updatedAt: number;
  /** Milliseconds; null: cleared. */
  readonly ttl: number | null | undefined;
  readonly expiresAt: number | undefined;
  readonly hold: boolean;
  readonly first: number;
  readonly tags: readonly string[];
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly operations: Readonly<Record<string, { readonly content: string; readonly receipt: Written }>>;
  /** The event that began it. */
  readonly born: number;
}

/** A conversation id: what lives under it, the last version, and who may not come back until when. */
export interface State {
  readonly life: Life | undefined;
  readonly version: number;
  readonly bars: Readonly<Record<string, number>>;
  /** Something was erased: nothing is known any more of the writes before. */
  readonly forgotten: boolean;
}

/** Nothing was ever stored. */
export const NOTHING: State = { life: undefined, version: 0, bars: {}, forgotten: false };

const HOUR = 3_600_000;

/** What is visible at a time. */
export function visible({ life }: State, now: number): Life | undefined {
  return life && (life.expiresAt === undefined || life.expiresAt > now) ? life : undefined;
}

/** JSON with sorted keys. */
export function stable(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

/** The newest so many, without results whose call is not among them. */
export function windowed(tags: readonly string[], limit: number | undefined): readonly string[] {
  if (limit === undefined) return tags;
  const last = limit === 0 ? [] : tags.slice(-limit);
  const first = last.findIndex((tag) => !tag.startsWith('r'));
  return first < 0 ? [] : last.slice(first);
}

/** What a read sees. */
export function seen(state: State, now: number, limit?: number): Seen | undefined {
  const life = visible(state, now);
  return (
    life && [
      state.version,
      life.tags.length,
      life.owner ?? null,
      life.createdAt,
      life.updatedAt,
      life.expiresAt ?? null,
      stable(life.metadata),
      windowed(life.tags, limit),
    ]
  );
}

const no = (state: State, code: string, actualVersion?: number): { state: State; result: Written } => ({
  state,
  result: { ok: false, code, actualVersion },
});

/** A write: what it does and what it answers. */
export function write(
  state: State,
  call: StoreCall | Extract<Call, { op: 'restore' }>,
  now: number,
  defaults: Defaults,
  event: number,
): { state: State; result: Written } {
  const restore = call.op === 'restore' ? call.snapshot : undefined;
  const plain = call.op === 'restore' ? undefined : call;
  const named = restore ? restore.userId : plain?.userId;
  if (call.scope !== undefined && named !== undefined && named !== call.scope) return no(state, 'owner');
  const owner = named ?? call.scope;
  if (owner !== undefined && (state.bars[owner] ?? 0) > now) return no(state, 'erased');
  const current = visible(state, now);
  const expected = plain?.expected;
  const tags = restore ? restore.tags : (plain?.tags ?? []);
  const given = restore ? restore.metadata : plain?.metadata;
  const content = plain ? stable([plain.op, plain.tags, plain.metadata ?? null]) : '';
  if (!current) {
    if (plain?.op === 'append' && !plain.create) return no(state, 'not_found');
    if (expected !== undefined && expected !== 0) return no(state, 'version', 0);
  } else {
    const strange =
      call.scope !== undefined ? current.owner !== owner : owner !== undefined && current.owner !== undefined && current.owner !== owner;
    if (strange) return no(state, 'owner');
    const before = plain?.operationId === undefined ? undefined : current.operations[plain.operationId];
    if (before) {
      return before.content === content
        ? { state, result: { ...before.receipt, duplicate: true } as Written }
        : no(state, 'operation_reused');
    }
    if (call.op === 'restore' && call.onConflict === 'fail') return no(state, 'version', state.version);
    if (call.op === 'restore' && call.onConflict === 'skip') {
      return { state, result: { ok: true, version: state.version, messageCount: current.tags.length, created: false, duplicate: true } };
    }
    if (current.hold && call.op !== 'append') return no(state, 'legal_hold');
    if (expected !== undefined && expected !== state.version) return no(state, 'version', state.version);
  }
  const version = Math.max(state.version + 1, now);
  const fresh = !current || restore !== undefined;
  const kept = fresh || call.op === 'store' ? [] : current.tags;
  const after = fresh ? (restore?.firstSeq ?? 1) : call.op === 'store' ? current.first + current.tags.length : current.first;
  const metadata =
    given === undefined ? (fresh ? {} : current.metadata) : current && call.op === 'append' ? { ...current.metadata, ...given } : given;
  const told = given?.['legalHold'];
  const hold = typeof told === 'boolean' ? told : fresh || (call.op === 'store' && given !== undefined) ? false : current.hold;
  const standard = defaults.ttl === undefined ? undefined : defaults.ttl * 1000;
  const ttl = restore
    ? restore.expiresAt === undefined
      ? undefined
      : Math.max(1, restore.expiresAt - restore.updatedAt)
    : plain?.ttl !== undefined
      ? plain.ttl === null
        ? null
        : plain.ttl * 1000
      : fresh || current.ttl === undefined
        ? standard
        : current.ttl;
  const limit =
    restore || hold
      ? Number.POSITIVE_INFINITY
      : Math.min(plain?.maxMessages ?? Number.POSITIVE_INFINITY, defaults.maxMessages ?? Number.POSITIVE_INFINITY);
  const all = [...kept, ...tags];
  const trimmed = Math.max(0, all.length - limit);
  const result: Written = { ok: true, version, messageCount: all.length - trimmed, created: !current, duplicate: false };
  const life: Life = {
    owner: current?.owner ?? owner,
    createdAt: restore ? restore.createdAt : (current?.createdAt ?? now),
    updatedAt: restore ? restore.updatedAt : Math.max(current?.updatedAt ?? now, now),
    ttl,
    expiresAt: hold ? undefined : restore ? restore.expiresAt : typeof ttl === 'number' ? now + ttl : undefined,
    hold,
    first: after + trimmed,
    tags: all.slice(trimmed),
    metadata,
    operations: {
      ...(fresh ? {} : current.operations),
      ...(plain?.operationId === undefined ? {} : { [plain.operationId]: { content, receipt: result } }),
    },
    born: fresh ? event : current.born,
  };
  return { state: { ...state, life, version }, result };
}

/** A deletion: `true`, `false`, or the code of an error. */
export function remove(state: State, call: Extract<Call, { op: 'delete' }>, now: number): { state: State; result: boolean | string } {
  const life = visible(state, now);
  if (!life || (call.scope !== undefined && life.owner !== call.scope)) return { state, result: false };
  if (life.hold) return { state, result: 'legal_hold' };
  if (call.expected !== undefined && call.expected !== state.version) return { state, result: 'version' };
  return { state: { ...state, life: undefined }, result: true };
}

/** What clearing a user does to one conversation. */
export function clear(state: State, user: string): State {
  const { life } = state;
  return life && life.owner === user && !life.hold ? { ...state, life: undefined } : state;
}

/** The second half of an erasure: nothing stays, not even the version. */
export function forget(state: State, user: string): State {
  const { life } = state;
  return life && life.owner === user && !life.hold ? { ...state, life: undefined, version: 0, forgotten: true } : state;
}

/** The first half of an erasure: the user may not come back for an hour. */
export function bar(state: State, user: string, now: number): State {
  return { ...state, bars: { ...state.bars, [user]: Math.max(state.bars[user] ?? 0, now + HOUR) } };
}
