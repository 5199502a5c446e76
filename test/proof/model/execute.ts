/** Runs a program on real stores through the public methods, and notes who saw what and when. */
import { createHash } from 'node:crypto';
import { createProvider, MemoryError, type MemoryProvider, type StorageDriver } from 'jaf/memory';
import { CLOCK_START, type Fault, faulty, type FakeClock } from 'jaf/memory/testing';
import { SEGMENT_MESSAGES } from '../../../src/memory/segment.js';
import { aroundTrips, keepOpen, type Operation } from '../../../src/memory/testing/around.js';
import type { Answer, Event } from './linearize.js';
import { explain } from './linearize.js';
import { perform } from './perform.js';
import { CLIENTS, CONVERSATIONS, type Draft, MANY, type PlannedFault, type Program, USERS } from './programs.js';
import { type Call, type Defaults, stable } from './state.js';

/** What a run adds up. */
export interface Counts {
  programs: number;
  /** A digest of each. */
  distinct: Set<string>;
  calls: number;
  /** Writes that were told to be stored. */
  acknowledged: number;
  /** Answers nobody can rely on. */
  unknown: number;
  /** Calls that failed before anything was sent. */
  refused: number;
  faults: Record<string, number>;
  kills: number;
  /** Segments that were packed. */
  packs: number;
  /** Programs in which no fault came about. */
  faultless: number;
  /** Of calls that follow each other, or overlap, on a conversation. */
  pairs: Record<string, number>;
  /** Answers by operation. */
  answers: Record<string, number>;
}

/** Counts of nothing. */
export const noCounts = (): Counts => ({
  programs: 0,
  distinct: new Set(),
  calls: 0,
  acknowledged: 0,
  unknown: 0,
  refused: 0,
  faults: {},
  kills: 0,
  packs: 0,
  faultless: 0,
  pairs: {},
  answers: {},
});

const OPTIONS: readonly Defaults[] = [{}, { compressionThreshold: 2 }, { maxMessages: 6, ttl: 60 }];
const DEADLINE = 2000;
/** Of the last reads: a busy machine is no finding. */
const PATIENT = 60_000;
/** The client whose calls give up early, so that an answer that never comes costs little. */
const HASTY = 40;

const count = (where: Record<string, number>, what: string, by = 1): void => {
  where[what] = (where[what] ?? 0) + by;
};

/** One client: a provider on a connection with faults. */
class Client {
  readonly provider: MemoryProvider;
  dead = false;
  /** Conversations of which a request may still arrive, though its sender was told that it is lost. */
  readonly late = new Set<string>();
  /** Conversations of which a request met a fault, or was repeated. */
  readonly troubled = new Set<string>();
  /** A removal of many conversations may still arrive. */
  latePurge = false;
  /** Tells it from the one before in its place: a provider knows late writes of its own only. */
  readonly instance: number;
  #trips = 0;
  readonly #inner: Promise<unknown>[] = [];

  constructor(driver: StorageDriver, clock: FakeClock, options: Defaults, plan: PlannedFault[], run: Run, place: number, instance: number) {
    const hasty = place === 1;
    this.instance = instance;
    const watched = aroundTrips(keepOpen(driver), (operation: Operation, args, send) => {
      // a slow machine makes clients repeat without any fault of ours
      if (operation === 'write' || operation === 'remove')
        for (const { id, retry } of [args[0]].flat() as { id: string; retry: boolean }[]) if (retry) this.troubled.add(id);
      const sent = send();
      if (operation === 'pack') void sent.then((outcome) => outcome === 'ok' && run.counts.packs++).catch(() => undefined);
      this.#inner.push(sent.catch(() => undefined));
      return sent;
    });
    const unreliable = faulty(watched, ({ operation, args }): Fault => {
      if (this.dead) return 'lose-request';
      const trip = this.#trips++;
      const at = plan.findIndex((fault) => fault.trip <= trip);
      const [fault] = at < 0 ? [] : plan.splice(at, 1);
      if (!fault) return 'pass';
      count(run.counts.faults, fault.kind);
      run.fired++;
      const ids = operation === 'write' || operation === 'remove' ? ([args[0]].flat() as { id: string }[]).map(({ id }) => id) : [];
      for (const id of ids) this.troubled.add(id);
      switch (fault.kind) {
        case 'late':
          for (const id of ids) this.late.add(id);
          if (operation === 'purge') this.latePurge = true;
          // what reads too late nobody hears
          return { late: run.rounds(operation === 'write' || operation === 'remove' || operation === 'purge' ? fault.rounds : 0) };
        case 'slow-request':
          return { hold: 'request', until: turns(fault.rounds * 4 + 1) };
        case 'slow-reply':
          return { hold: 'reply', until: turns(fault.rounds * 4 + 1) };
        case 'silence':
          return hasty ? { hold: 'reply', until: run.rounds(fault.rounds) } : 'lose-reply';
        default:
          return fault.kind;
      }
    });
    this.provider = createProvider(unreliable, { clock: clock.now, deadline: hasty ? HASTY : DEADLINE, ...options });
  }

  /** Resolves when everything that was sent has been answered by the store. */
  async settled(): Promise<void> {
    while (this.#inner.length > 0) await Promise.all(this.#inner.splice(0));
  }
}

async function turns(n: number): Promise<void> {
  for (let i = 0; i < n; i++) await new Promise((turn) => setImmediate(turn));
}

/** Of a copy of an answered call that may still come. */
const LATE = { end: Number.POSITIVE_INFINITY, latest: Number.POSITIVE_INFINITY, answer: { kind: 'unknown' } } as const;

/** Somebody without faults. */
const NOBODY = { late: new Set<string>(), troubled: new Set<string>(), latePurge: false, instance: -1 };

/** One run of a program. */
class Run {
  readonly counts: Counts;
  fired = 0;
  readonly clock: FakeClock;
  readonly events: Omit<Event, 'number'>[] = [];
  readonly #prefix: string;
  readonly #drivers: readonly StorageDriver[];
  readonly #clients: Client[] = [];
  readonly #all: Client[] = [];
  readonly #program: Program;
  readonly #waiting: { round: number; go: () => void }[] = [];
  readonly #versions = new Map<string, number>();
  #round = 0;
  #time = 0;
  #tags = 0;

  constructor(drivers: readonly StorageDriver[], clock: FakeClock, program: Program, prefix: string, counts: Counts) {
    this.#drivers = drivers;
    this.clock = clock;
    this.#program = program;
    this.#prefix = prefix;
    this.counts = counts;
    for (let n = 0; n < CLIENTS; n++)
      this.#clients.push(
        this.#client(
          n,
          program.faults.filter((fault) => fault.client === n),
        ),
      );
  }

  #client(n: number, faults: readonly PlannedFault[]): Client {
    const driver = this.#drivers[n % this.#drivers.length] as StorageDriver;
    const plan = [...faults].sort((a, b) => a.trip - b.trip);
    const client = new Client(driver, this.clock, OPTIONS[n % OPTIONS.length] ?? {}, plan, this, n, this.#all.length);
    this.#all.push(client);
    return client;
  }

  /** Resolves when so many rounds are over. */
  rounds(n: number): Promise<void> {
    return new Promise((go) => this.#waiting.push({ round: this.#round + n, go }));
  }

  #id(n: number): string {
    return `${this.#prefix}*${n}`;
  }

  #user(n: number): string {
    return `${this.#prefix}:user ${n}`;
  }

  #call(draft: Draft): Call {
    const scope = 'scope' in draft && draft.scope !== undefined ? this.#user(draft.scope) : undefined;
    const id = 'id' in draft ? this.#id(draft.id) : '';
    const expected = (which: 'none' | 'seen' | 'other' | undefined): number | undefined =>
      which === undefined ? undefined : which === 'none' ? 0 : (this.#versions.get(id) ?? 1) + (which === 'other' ? 1 : 0);
    switch (draft.op) {
      case 'store':
      case 'append': {
        const { op, create, metadata, ttl, maxMessages, compressionThreshold } = draft;
        const operationId = draft.operation === undefined ? undefined : `operation ${draft.operation}`;
        // the same name for the same content now and then
        const tags = draft.operation === 2 ? ['u-always'] : this.#shape(draft.shape);
        return {
          op,
          id,
          scope,
          tags,
          metadata,
          userId: this.#maybe(draft.user),
          create,
          ttl,
          maxMessages,
          compressionThreshold,
          expected: expected(draft.expected),
          operationId,
        };
      }
      case 'restore': {
        const now = this.clock.now();
        const snapshot = {
          tags: this.#shape(draft.shape),
          metadata: draft.metadata,
          userId: this.#maybe(draft.user),
          createdAt: now - draft.age - 10,
          updatedAt: now - draft.age,
          expiresAt: draft.lasts === undefined ? undefined : now + draft.lasts,
          firstSeq: draft.firstSeq,
        };
        return { op: 'restore', id, scope, snapshot, onConflict: draft.onConflict };
      }
      case 'delete':
        return { op: 'delete', id, scope, expected: expected(draft.expected) };
      case 'get':
        return { op: 'get', id, scope, limit: draft.limit };
      case 'recent':
        return { op: 'recent', id, scope, limit: draft.limit };
      case 'page':
        return { op: 'page', id, scope, after: draft.after, before: draft.before, limit: draft.limit };
      case 'find':
      case 'iterate':
        return { op: draft.op, user: this.#user(draft.user), scoped: draft.scoped, mark: draft.mark };
      case 'purge':
        return { op: 'purge', user: this.#user(draft.user), everybody: draft.everybody };
      default:
        return { op: draft.op, user: this.#user(draft.user) };
    }
  }

  #maybe(user: number | undefined): string | undefined {
    return user === undefined ? undefined : this.#user(user);
  }

  #shape(shape: string): string[] {
    const kinds = shape === MANY ? 'ua'.repeat(SEGMENT_MESSAGES / 2 + 2) : shape;
    return [...kinds].map((kind) => `${kind}${++this.#tags}`);
  }

  /** Notes a call for the conversations it is about. */
  #note(
    client: number,
    maker: Pick<Client, 'late' | 'troubled' | 'latePurge' | 'instance'>,
    call: Call,
    now: number,
    begin: number,
    answers: ReadonlyMap<string, Answer> | Answer,
  ): void {
    const end = ++this.#time;
    const defaults = OPTIONS[client % OPTIONS.length] ?? {};
    const of = (id: string): Answer => ('kind' in answers ? answers : (answers.get(id) ?? { kind: 'seen', seen: undefined }));
    for (const id of 'id' in call ? [call.id] : Array.from({ length: CONVERSATIONS }, (_, n) => this.#id(n))) {
      const answer = of(id);
      const until = answer.kind === 'unknown' ? Number.POSITIVE_INFINITY : end;
      // a read that was not answered says nothing; a purge has perhaps swept what was over by then
      if (answer.kind === 'unknown' && !/^(store|append|restore|delete|clear|purge|erase)$/.test(call.op)) continue;
      const event = {
        client: maker.instance,
        troubled: maker.troubled.has(id),
        call: 'id' in call ? call : { ...call, id },
        now,
        latest: until === Number.POSITIVE_INFINITY ? until : this.clock.now(),
        defaults,
        begin,
        end: until,
        answer,
      };
      if (call.op === 'erase') {
        this.events.push({ ...event, part: 'bar' }, { ...event, part: 'forget' });
        // it was repeated, and the first attempt is still on its way
        if (maker.latePurge && until === end) this.events.push({ ...event, part: 'forget', ...LATE });
      } else this.events.push(event);
      // one of its attempts is still on its way: when it was refused, that one may find the store in another state
      if (!maker.late.has(id) || !/^(store|append|restore|delete)$/.test(call.op)) continue;
      const refused =
        (answer.kind === 'written' && (!answer.written.ok || answer.written.duplicate)) ||
        (answer.kind === 'removed' && answer.removed !== true);
      this.events.push({ ...event, ghost: !refused, ...LATE });
    }
  }

  async #make(n: number, draft: Draft): Promise<void> {
    const client = this.#clients[n] as Client;
    const call = this.#call(draft);
    const now = this.clock.now();
    const begin = ++this.#time;
    this.counts.calls++;
    let open = true;
    const note = (answers: ReadonlyMap<string, Answer> | Answer): void => {
      if (!open) return;
      open = false;
      if ('kind' in answers && answers.kind === 'unknown') this.counts.unknown++;
      if ('kind' in answers && answers.kind === 'written' && answers.written.ok) this.counts.acknowledged++;
      this.#note(n, client, call, now, begin, answers);
    };
    this.#abandon.push([client, () => note({ kind: 'unknown' })]);
    try {
      note(await perform(client.provider, call, this.#versions));
    } catch (error) {
      if (!(error instanceof MemoryError)) throw error;
      const { code, outcome } = error;
      count(this.counts.answers, `${call.op} ${code}`);
      if (error.name === 'MemoryConnectionError') {
        // these are several steps: the first may be done when the second fails
        if (outcome === 'unknown' || call.op === 'erase' || call.op === 'purge') note({ kind: 'unknown' });
        else {
          // nothing happened: the history must be right without it
          open = false;
          this.counts.refused++;
        }
        return;
      }
      if (call.op === 'delete') return note({ kind: 'removed', removed: code });
      // held from the beginning, or only when others were erased already
      if (call.op === 'erase' && code === 'legal_hold') return note({ kind: 'unknown' });
      throw error;
    }
  }
  readonly #abandon: [Client, () => void][] = [];

  async go(): Promise<void> {
    for (const round of this.#program.rounds) {
      this.#abandon.length = 0;
      const calls = round.calls.map(({ client, draft }) => [this.#clients[client] as Client, this.#make(client, draft)] as const);
      const { killed } = round;
      if (killed !== undefined) {
        const victim = this.#clients[killed] as Client;
        victim.dead = true;
        this.counts.kills++;
        await Promise.all(calls.filter(([client]) => client !== victim).map(([, call]) => call));
        for (const [client, unknown] of this.#abandon) if (client === victim) unknown();
        void Promise.allSettled(calls.map(([, call]) => call)).then(() => victim.provider.close());
        this.#clients[killed] = this.#client(killed, []);
      } else await Promise.all(calls.map(([, call]) => call));
      this.#round++;
      this.#release();
      this.clock.advance(round.pause);
    }
    this.#round = Number.POSITIVE_INFINITY;
    this.#release();
    await turns(2);
    await Promise.all(this.#all.map((client) => client.settled()));
    await this.#look();
    await Promise.all(this.#clients.map((client) => client.provider.close()));
  }

  #release(): void {
    for (let i = 0; i < this.#waiting.length; ) {
      const one = this.#waiting[i];
      if (one && one.round <= this.#round) this.#waiting.splice(i, 1)[0]?.go();
      else i++;
    }
  }

  /** Everything that can be read in the end, by somebody without faults. */
  async #look(): Promise<void> {
    const [driver] = this.#drivers;
    await using provider = createProvider(keepOpen(driver as StorageDriver), { clock: this.clock.now, deadline: PATIENT });
    const read = async (call: Call): Promise<void> => {
      const begin = ++this.#time;
      this.#note(CLIENTS, NOBODY, call, this.clock.now(), begin, await perform(provider, call, this.#versions));
    };
    for (let n = 0; n < CONVERSATIONS; n++) {
      await read({ op: 'get', id: this.#id(n) });
      await read({ op: 'page', id: this.#id(n), limit: 1000 });
    }
    for (let n = 0; n < USERS; n++) {
      const user = this.#user(n);
      await read({ op: 'find', user, scoped: false });
      await read({ op: 'iterate', user, scoped: true });
      await this.#compare(provider, user);
    }
  }

  /** Statistics against the list; what a server does for a caller who has given up may still come between the two. */
  async #compare(provider: MemoryProvider, user: string): Promise<void> {
    let before: string | undefined;
    for (let tries = 0; tries < 10; tries++) {
      const found = await provider.findConversations({ userId: user });
      const now = stable(found.map(({ conversationId, version }) => [conversationId, version]));
      const stats = await provider.getStats(user);
      const expected = [found.length, found.reduce((sum, c) => sum + c.messageCount, 0)];
      const told = [stats.userConversations, stats.userMessages];
      if (stable(told) === stable(expected)) return;
      if (now === before) throw new Error(`statistics say ${told.join(', ')}, the list ${expected.join(', ')}`);
      before = now;
    }
    throw new Error('the list does not come to rest');
  }

  /** @throws Error with the history that has no order */
  check(): void {
    if (this.fired === 0) this.counts.faultless++;
    for (let n = 0; n < CONVERSATIONS; n++) {
      const id = this.#id(n);
      const events = this.events.filter(({ call }) => (call as { id?: string }).id === id).sort((a, b) => a.begin - b.begin);
      const numbered = events.map((event, number) => ({ ...event, number }));
      for (const [i, { call }] of numbered.entries()) {
        const before = numbered[i - 1]?.call.op;
        if (before) count(this.counts.pairs, `${before} ${call.op}`);
      }
      const trouble = explain(numbered);
      if (trouble !== undefined)
        throw new Error(`no order explains what was seen of ${id}: ${trouble}\n${numbered.map(lineOf).join('\n')}`);
    }
  }
}

function lineOf({ number, client, call, part, ghost, now, begin, end, answer }: Event): string {
  const { op, ...args } = call;
  return `${number}. client ${client} ${op}${part ? ` (${part})` : ''}${ghost ? ' (ghost)' : ''} ${JSON.stringify(args)} at ${now - CLOCK_START} ms [${begin}, ${end}] -> ${JSON.stringify(answer)}`;
}

let programs = 0;

/**
 * Runs a program and checks its history.
 *
 * @param drivers - of one store, open; clients take turns
 * @param clock - everybody's; it only goes on between rounds
 * @throws Error when no order explains what was seen
 */
export async function runProgram(drivers: readonly StorageDriver[], clock: FakeClock, program: Program, counts: Counts): Promise<void> {
  const run = new Run(drivers, clock, program, `p${process.pid.toString(36)}-${++programs}`, counts);
  counts.programs++;
  counts.distinct.add(createHash('sha1').update(JSON.stringify(program)).digest('base64'));
  await run.go();
  run.check();
}
