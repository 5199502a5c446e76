/**
 * The audit log of erasures: a file that is only ever added to, each line chained to the one before with a keyed MAC, so that
 * whoever has the key can tell whether a line was changed, taken out or moved.
 *
 * @module
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import fs, { constants, createReadStream } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { canonicalJson, digestOf } from './canonical.js';
import type { AuditLog, ErasureReceipt } from './erase.js';
import { MemoryConfigError, MemoryError, MemoryStorageError } from './errors.js';

/** Where the chain begins: what the first line names as the one before it. */
const GENESIS = '0'.repeat(64);
/** A shorter key could be guessed from the log. */
const KEY_LENGTH = 16;
/** Longer lines are no entries of ours. */
const MAX_LINE = 1_048_576;
/** Problems that are listed; further ones are counted. */
const LISTED = 100;

/** Where an audit log is, and with which key it is chained. */
export interface AuditLogOptions {
  /** The file; its folder must exist. Made (mode 600) by the first entry. */
  readonly path: string;
  /** At least 16 characters, kept apart from log and store. Default: the environment variable `JAF_AUDIT_KEY`. */
  readonly key?: string | undefined;
}

/** One line of the log. */
interface Line {
  /** From 1. */
  readonly n: number;
  /** When it was appended, ISO 8601, by the clock of the process that did. */
  readonly at: string;
  readonly entry: Readonly<Record<string, unknown>>;
  /** `hash` of the line before. */
  readonly prev: string;
  /** MAC of the other fields. */
  readonly hash: string;
}

/** @throws MemoryConfigError naming JAF_AUDIT_KEY */
function keyOf(key: string | undefined): string {
  const found = key ?? process.env['JAF_AUDIT_KEY'];
  if (found !== undefined && found.length >= KEY_LENGTH) return found;
  throw new MemoryConfigError(
    `audit log "JAF_AUDIT_KEY": ${found === undefined || found === '' ? 'there is no key' : `the key is shorter than ${KEY_LENGTH} characters`}. Set JAF_AUDIT_KEY to a secret that is kept apart from the log and the store (openssl rand -hex 32).`,
    { provider: 'none', setting: 'JAF_AUDIT_KEY' },
  );
}

/** The MAC of one line. */
function macOf(key: string, { n, at, entry, prev }: Omit<Line, 'hash'>): string {
  return createHmac('sha256', key).update(canonicalJson({ n, at, entry, prev })).digest('hex');
}

function sameText(a: string, b: string): boolean {
  const [x, y] = [Buffer.from(a), Buffer.from(b)];
  return x.length === y.length && timingSafeEqual(x, y);
}

/** A line as it was written, if it is one and its MAC is right. */
function parseLine(text: string, key: string): Line | undefined {
  try {
    const line = JSON.parse(text) as Line | null;
    if (typeof line !== 'object' || line === null || typeof line.n !== 'number' || typeof line.hash !== 'string') return undefined;
    if (typeof line.entry !== 'object' || line.entry === null || canonicalJson(line) !== text) return undefined;
    return sameText(line.hash, macOf(key, line)) ? line : undefined;
  } catch {
    return undefined; // the answer: not JSON is not a line
  }
}

function corrupt(path: string, why: string): MemoryStorageError {
  return new MemoryStorageError(`audit log ${JSON.stringify(path)}: ${why}`, { provider: 'none', operation: 'audit', code: 'corrupt' });
}

function failed(path: string, error: unknown): MemoryError {
  if (error instanceof MemoryError) return error;
  const { code, name } = error as { code?: unknown; name?: unknown };
  return new MemoryStorageError(
    `audit log ${JSON.stringify(path)}: it cannot be read or written (${String(code ?? name)}). Check the path, its folder and the rights of this user.`,
    { provider: 'none', operation: 'audit' },
  );
}

/** The end of the file: the last line break, and what stands behind the one before it. */
async function tailOf(handle: FileHandle, path: string): Promise<{ readonly last: string; readonly rest: string; readonly end: number }> {
  const { size } = await handle.stat();
  for (let length = 65_536; ; length *= 4) {
    const from = Math.max(0, size - length);
    const buffer = Buffer.alloc(size - from);
    await handle.read(buffer, 0, buffer.length, from);
    const stop = buffer.lastIndexOf(10);
    const before = stop < 1 ? -1 : buffer.lastIndexOf(10, stop - 1);
    if (from === 0 || before >= 0) {
      return {
        last: stop < 0 ? '' : buffer.toString('utf8', before + 1, stop),
        rest: buffer.toString('utf8', stop + 1),
        end: from + stop + 1,
      };
    }
    if (length > MAX_LINE) throw corrupt(path, 'its last line is no entry. Look at it with jaf-memory audit verify.');
  }
}

/** Makes sure that a new file is found after loss of power. */
async function syncFolder(path: string): Promise<void> {
  const folder = await fs.promises.open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/**
 * Appends under the lock. What a crash left of a line that was never acknowledged is set aside in `<path>.cut`, and a line in
 * the chain says so.
 */
async function appendLine(path: string, key: string, entry: object): Promise<{ hash: string }> {
  const handle = await fs.promises.open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  try {
    const { size } = await handle.stat();
    const { last, rest, end } = await tailOf(handle, path);
    let head: { readonly n: number; readonly hash: string } = { n: 0, hash: GENESIS };
    if (last !== '') {
      const line = parseLine(last, key);
      if (!line)
        throw corrupt(
          path,
          'its last line was changed, or was made with another key. Nothing was added; look at it with jaf-memory audit verify.',
        );
      head = line;
    }
    const added: string[] = [];
    const add = (what: object): void => {
      // as JSON holds it, so that the MAC is of what a reader will see
      const entryOf = JSON.parse(JSON.stringify(what)) as Record<string, unknown>;
      const fields = { n: head.n + 1, at: new Date().toISOString(), entry: entryOf, prev: head.hash };
      const line: Line = { ...fields, hash: macOf(key, fields) };
      added.push(`${canonicalJson(line)}\n`);
      head = line;
    };
    let at = end;
    if (rest !== '') {
      const whole = parseLine(rest, key);
      if (whole && whole.n === head.n + 1 && whole.prev === head.hash) {
        // only its line break is missing
        await handle.write('\n', size);
        head = whole;
        at = size + 1;
      } else {
        const cut = await fs.promises.open(`${path}.cut`, 'a', 0o600);
        try {
          await cut.appendFile(`${rest}\n`);
          await cut.sync();
        } finally {
          await cut.close();
        }
        await handle.truncate(end);
        add({ action: 'cut-line-set-aside', bytes: Buffer.byteLength(rest) });
      }
    }
    add(entry);
    const text = added.join('');
    const { bytesWritten } = await handle.write(text, at);
    if (bytesWritten < Buffer.byteLength(text)) throw corrupt(path, 'the disk is full: the entry was not written whole.');
    await handle.sync();
    if (size === 0) await syncFolder(path);
    return { hash: head.hash };
  } finally {
    await handle.close();
  }
}

/**
 * An audit log in a file: NDJSON, one entry a line, each chained to the one before with HMAC-SHA-256. An entry is on the disk
 * before `append` answers. Several processes of one machine may append (a lock file beside it orders them). It holds no content
 * and no user id: of a user only a hash made with the key, so that whoever has the key can look a user up, and nobody else can
 * guess one.
 *
 * @param options - see {@link AuditLogOptions}
 * @throws MemoryConfigError naming `JAF_AUDIT_KEY` when there is no key, or a short one
 * @example
 * const audit = createAuditLog({ path: './audit.ndjson' }); // key: JAF_AUDIT_KEY
 * const receipt = await eraseUser(provider, 'user-123', { audit });
 */
export function createAuditLog(options: AuditLogOptions): AuditLog {
  const key = keyOf(options.key);
  const path = resolve(options.path);
  let last: Promise<unknown> = Promise.resolve();
  return {
    subject: (userId) => subjectOf(key, userId),
    append: (entry) => {
      const result = last
        .then(async () => {
          // loaded with the first entry: few programs that import the package keep an audit log
          const { withFileLock } = await import('./file-lock.js');
          return await withFileLock(`${path}.lock`, () => appendLine(path, key, entry));
        })
        .catch((error: unknown) => {
          throw failed(path, error);
        });
      last = result.catch(() => undefined);
      return result;
    },
  };
}

/** The hash under which a user stands in the log. */
function subjectOf(key: string, userId: string): string {
  return createHmac('sha256', key).update(`subject\0${userId}`).digest('hex');
}

/** What {@link verifyAuditLog} found. */
export interface AuditVerification {
  /** Nothing was found. */
  readonly valid: boolean;
  /** Lines of the log. */
  readonly entries: number;
  /** Hash of the last line; 64 zeros when there is none. Keep it elsewhere: with it a cut tail is found. */
  readonly head: string;
  /** What is wrong, by line (from 1; 0 = the log as a whole). At most 100; `found` counts all. */
  readonly problems: readonly { readonly line: number; readonly reason: string }[];
  /** How many things are wrong. */
  readonly found: number;
  /** Erasures of the user that was asked for. */
  readonly erasures?: number;
}

/** What to compare a log with. */
export interface AuditVerifyOptions {
  /** The key of the log. Default: the environment variable `JAF_AUDIT_KEY`. */
  readonly key?: string | undefined;
  /** A head that was kept (`auditHead` of a receipt): it must still be in the log. */
  readonly head?: string | undefined;
  /** A receipt of {@link eraseUser}: its entry must be in the log and say the same. */
  readonly receipt?: ErasureReceipt | undefined;
  /** Counts the erasures of this user. */
  readonly userId?: string | undefined;
}

/**
 * Checks an audit log from its first line to its last: lines that were changed, taken out, put in or moved are named. That the
 * end was cut off can only be seen with a head, or a receipt, that was kept elsewhere. Reads line by line.
 *
 * @param path - the file
 * @param options - see {@link AuditVerifyOptions}
 * @throws MemoryConfigError when there is no key; MemoryStorageError when the file cannot be read
 */
export async function verifyAuditLog(path: string, options: AuditVerifyOptions = {}): Promise<AuditVerification> {
  const key = keyOf(options.key);
  const { receipt } = options;
  const problems: { line: number; reason: string }[] = [];
  let found = 0;
  const problem = (line: number, reason: string): void => {
    found++;
    if (problems.length < LISTED) problems.push({ line, reason });
  };
  const subject = options.userId === undefined ? undefined : subjectOf(key, options.userId);
  let [entries, erasures, number] = [0, 0, 0];
  let before: { readonly n: number; readonly hash: string } = { n: 0, hash: GENESIS };
  let [headSeen, receiptSeen] = [false, false];
  try {
    for await (const { text, ended } of linesOf(path)) {
      number++;
      entries++;
      const line = parseLine(text, key);
      if (!ended) problem(number, 'it has no end: a crash cut it off, and the next entry will complete it or set it aside');
      if (!line) {
        if (ended) problem(number, 'it was changed, or was made with another key');
        // what follows is compared with what this line says of itself, so that one change is not told for every line
        before = claimOf(text) ?? { n: before.n + 1, hash: '' };
        continue;
      }
      if (before.hash !== '' && (line.prev !== before.hash || line.n !== before.n + 1)) {
        problem(
          number,
          line.n === before.n + 1
            ? 'the line before it was replaced'
            : `it is entry ${line.n}, and entry ${before.n + 1} should stand here: lines were taken out, put in or moved`,
        );
      }
      before = line;
      if (line.hash === options.head) headSeen = true;
      if (subject !== undefined && line.entry['subject'] === subject) erasures++;
      if (receipt && line.hash === receipt.auditHead) {
        receiptSeen = true;
        const reason = receiptProblem(line.entry, receipt);
        if (reason !== undefined) problem(number, reason);
      }
    }
  } catch (error) {
    throw failed(path, error);
  }
  if (options.head !== undefined && !headSeen && options.head !== GENESIS)
    problem(0, 'the head that was kept is not in it: its end was cut off, or the line was changed');
  if (receipt && !receiptSeen) problem(0, 'the entry of the receipt is not in it: its end was cut off, or the line was changed');
  return {
    valid: found === 0,
    entries,
    head: before.hash,
    problems,
    found,
    ...(subject === undefined ? {} : { erasures }),
  };
}

/** The lines of a file; `ended`: with a line break. */
async function* linesOf(path: string): AsyncGenerator<{ readonly text: string; readonly ended: boolean }> {
  let rest = '';
  for await (const chunk of createReadStream(path, { encoding: 'utf8' })) {
    const lines = (rest + String(chunk)).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > MAX_LINE) throw corrupt(path, 'a line of more than a megabyte is no entry. This is not an audit log.');
    for (const text of lines) yield { text, ended: true };
  }
  if (rest !== '') yield { text: rest, ended: false };
}

/** Number and hash a damaged line claims to have. */
function claimOf(text: string): { readonly n: number; readonly hash: string } | undefined {
  try {
    const { n, hash } = JSON.parse(text) as { n?: unknown; hash?: unknown };
    return typeof n === 'number' && typeof hash === 'string' ? { n, hash } : undefined;
  } catch {
    return undefined; // not even JSON: it claims nothing
  }
}

function receiptProblem(entry: Readonly<Record<string, unknown>>, receipt: ErasureReceipt): string | undefined {
  const { digest, ...fields } = entry;
  if (digest !== receipt.digest || digestOf(fields) !== receipt.digest) return 'its digest is not that of the receipt';
  const same =
    entry['conversations'] === receipt.conversations &&
    entry['messages'] === receipt.messages &&
    entry['at'] === new Date(receipt.at).toISOString();
  return same ? undefined : 'the receipt says something else: it was changed';
}
