/**
 * What failures of Redis, its clients and the network mean. The server's own messages are never passed on: they can quote
 * keys and arguments.
 *
 * @module
 */
import type { Classified } from '../../driver.js';
import { LOST, REFUSED, TLS } from '../../network.js';

/** There is no connection; nothing was sent. */
export class NotConnectedError extends Error {
  constructor(cause: unknown) {
    super('no connection', { cause });
  }
}

/** A command was sent and not answered in time. */
export class TripTimeoutError extends Error {}

/** A command failed that the client may have sent before, by itself: whether it was carried out is not known. */
export class ResentError extends Error {
  constructor(cause: unknown) {
    super('sent more than once', { cause });
  }
}

/** The primary has the write, and too few replicas have it. */
export class UnreplicatedError extends Error {
  constructor(replicas: number, wanted: number) {
    super(`${replicas} of ${wanted} replicas have confirmed the write in time`);
  }
}

/** A script failed for one conversation and changed nothing of it; `message` is the server's. */
export class ScriptError extends Error {}

/** By the first word of the server's answer. */
const ANSWERS: Readonly<Record<string, Classified>> = {
  LOADING: { kind: 'retryable', reason: 'the server is loading its data' },
  BUSY: { kind: 'retryable', reason: 'the server is busy with a script of somebody else' },
  OOM: {
    kind: 'storage',
    reason: 'the server has reached maxmemory; raise it, or remove conversations (deletes and sweeps still work)',
  },
  MISCONF: { kind: 'storage', reason: 'the server refuses writes because it cannot save to disk; see its log' },
  READONLY: { kind: 'retryable', reason: 'the server is a read-only replica' },
  MASTERDOWN: { kind: 'retryable', reason: 'the replica has lost its primary' },
  NOREPLICAS: { kind: 'retryable', reason: 'the server has too few replicas to accept writes (min-replicas-to-write)' },
  CLUSTERDOWN: { kind: 'retryable', reason: 'the cluster is down, or a slot has no node' },
  TRYAGAIN: { kind: 'retryable', reason: 'a slot is being moved to another node' },
  MOVED: { kind: 'retryable', reason: 'a slot has moved to another node' },
  ASK: { kind: 'retryable', reason: 'a slot is being moved to another node' },
  CROSSSLOT: { kind: 'config', reason: 'the server is a cluster, and the client is for a single server' },
  // WAIT says it, behind a write that was carried out
  UNBLOCKED: { kind: 'lost', reason: 'the server became a replica before others had the write' },
  NOAUTH: { kind: 'config', reason: 'the server wants a password, and none is configured; set "password" (and "username")' },
  WRONGPASS: { kind: 'config', reason: 'the server rejected user name or password' },
  NOPERM: { kind: 'config', reason: 'the user may not run a command or use a key of the store (ACL)' },
  WRONGTYPE: { kind: 'corrupt', reason: 'a key of the store has another type than expected; something else writes under its prefix' },
  NOSCRIPT: { kind: 'retryable', reason: 'the server forgot a script' },
  NOTBUSY: { kind: 'retryable', reason: 'a script was ended' },
};

/** What the server answered, as text; undefined when a failure is none of its answers. */
export function answerOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  if (error instanceof ScriptError) return error.message;
  const { code } = error as { code?: unknown };
  // ErrorReply of node-redis, ReplyError of ioredis: nothing else begins with a word in capitals
  return code === undefined && /^[A-Z][A-Z]+ /.test(error.message) ? error.message : undefined;
}

/** Whether the server does not know a script by its SHA-1. */
export function isUnknownScript(error: unknown): boolean {
  return answerOf(error)?.startsWith('NOSCRIPT') ?? false;
}

function meaningOf(answer: string): Classified {
  if (answer.includes('JAFCORRUPT')) {
    const what = /JAFCORRUPT ([a-z ]+)/.exec(answer)?.[1] ?? 'stored data is damaged';
    return { kind: 'corrupt', reason: `${what.trim()} (evicted, or deleted by something else?)` };
  }
  if (/non local key/.test(answer)) return { kind: 'retryable', reason: 'a slot is being moved to another node' };
  // inside scripts an old server says these without their first word
  if (/can't run this command|no permissions/i.test(answer)) return ANSWERS['NOPERM'] as Classified;
  const words = answer.split(' ', 2);
  const known = ANSWERS[words[0] ?? ''] ?? (words[0] === 'ERR' ? ANSWERS[words[1] ?? ''] : undefined);
  if (known) return known;
  if (/WAIT cannot be used/.test(answer)) return ANSWERS['UNBLOCKED'] as Classified;
  if (/max number of clients/.test(answer)) return { kind: 'refused', reason: 'the server has too many connections' };
  if (/DB index is out of range|invalid DB index/i.test(answer))
    return { kind: 'config', reason: 'the server has no database of that number' };
  if (/unknown command/i.test(answer))
    return { kind: 'config', reason: 'the server does not know a command; Redis 6.2 or newer is needed' };
  if (/OOM command not allowed/.test(answer)) return ANSWERS['OOM'] as Classified;
  return { kind: 'storage', reason: `Redis answered an error (${/^[A-Z]+$/.test(words[0] ?? '') ? (words[0] ?? '') : 'ERR'})` };
}

/**
 * What a failure means. Never throws.
 *
 * @param error - anything thrown by the driver
 */
export function classify(error: unknown): Classified {
  if (error instanceof TripTimeoutError) return { kind: 'timeout', reason: 'the server did not answer in time' };
  if (error instanceof ResentError) {
    const { kind, reason } = classify(error.cause);
    return kind === 'timeout' || kind === 'unreplicated' || kind === 'config' ? { kind, reason } : { kind: 'lost', reason };
  }
  if (error instanceof UnreplicatedError) return { kind: 'unreplicated', reason: error.message };
  if (error instanceof NotConnectedError) return connectionFailure(error.cause);
  if (error instanceof SyntaxError) return { kind: 'corrupt', reason: 'stored data is damaged (not JSON)' };
  const answer = answerOf(error);
  if (answer !== undefined) return meaningOf(answer);
  const { code, message, name, constructor } = (error ?? {}) as {
    code?: unknown;
    message?: unknown;
    name?: unknown;
    constructor?: unknown;
  };
  if (typeof code === 'string' && LOST.has(code)) return { kind: 'lost', reason: `the connection to the server was lost (${code})` };
  if (typeof code === 'string' && REFUSED[code] !== undefined) return { kind: 'refused', reason: REFUSED[code] };
  const text = typeof message === 'string' ? message : '';
  if (/client is (offline|closed)|stream isn't writeable|cluster isn't ready/i.test(text)) {
    return { kind: 'refused', reason: 'there is no connection to the server' };
  }
  if (/command timed out/i.test(text)) return { kind: 'timeout', reason: 'the client gave the command up (its commandTimeout)' };
  // ioredis says the last ones when it has sent a command more than once
  if (
    /socket closed|disconnects client|connection is closed|connection close$|socket timeout|cluster redirections|cluster is ended|retries per request/i.test(
      text,
    )
  ) {
    return { kind: 'lost', reason: 'the connection to the server was lost' };
  }
  const kind = typeof constructor === 'function' ? constructor.name : typeof name === 'string' ? name : typeof error;
  return { kind: 'storage', reason: `the Redis driver failed (${typeof code === 'string' ? code : kind})` };
}

/** Why there is no connection: nothing was sent, whatever it was. */
function connectionFailure(cause: unknown): Classified {
  const { code, message, errors } = (cause ?? {}) as { code?: unknown; message?: unknown; errors?: unknown };
  if (typeof code === 'string' && TLS.test(code)) {
    return { kind: 'config', reason: `the server’s certificate was not accepted (${code}); pass its authority as tls: { ca }` };
  }
  if (Array.isArray(errors) && errors.length > 0 && typeof code !== 'string') return connectionFailure(errors[0]);
  if (typeof message === 'string' && /timeout/i.test(message))
    return { kind: 'refused', reason: 'the server did not take the connection in time' };
  const meaning = classify(cause);
  return meaning.kind === 'lost' || meaning.kind === 'timeout' || meaning.kind === 'storage'
    ? { kind: 'refused', reason: 'the server took no connection' }
    : meaning;
}
