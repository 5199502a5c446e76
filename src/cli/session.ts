/**
 * What a command works with: the store named by the global options, the output, and the signal of an interrupt.
 *
 * @module
 */
import type { Command } from 'commander';
import { readMemoryEnv } from '../memory/env.js';
import { MemoryAbortError, MemoryConfigError, MemoryConnectionError, MemoryError, MemoryValidationError } from '../memory/errors.js';
import { createMemoryProvider, parseProviderUrl } from '../memory/factory.js';
import { describeProvider } from '../memory/inspect.js';
import { lookAtStore } from '../memory/probe.js';
import type { MemoryProvider, MemoryProviderConfig } from '../memory/types.js';
import type { Output } from './output.js';

/** What the process answers. */
export const EXIT = {
  ok: 0,
  /** Findings, or differences. */
  findings: 1,
  /** Usage, or configuration. */
  usage: 2,
  /** The store cannot be reached or used. */
  connection: 3,
  /** Partly done: run it again. */
  partly: 4,
  interrupted: 130,
} as const;

/** Turns what a command does (its arguments and options; it answers the exit code) into what commander calls. */
export type Run = <A extends readonly unknown[]>(
  action: (session: Session, ...args: A) => Promise<number>,
) => (...args: [...A, Command]) => Promise<void>;

/** A problem with what was typed: exit code 2. */
export class UsageError extends Error {}

/** One run of the command line. */
export class Session {
  readonly out: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Fires on SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
  private readonly url: string | undefined;
  private readonly opened: MemoryProvider[] = [];

  /** @param fields - the URL is that of `--provider` */
  constructor(fields: { out: Output; env: Readonly<Record<string, string | undefined>>; signal: AbortSignal; url: string | undefined }) {
    this.out = fields.out;
    this.env = fields.env;
    this.signal = fields.signal;
    this.url = fields.url;
  }

  /** Whether the store is named by `--provider`, and not by the environment. */
  get explicit(): boolean {
    return this.url !== undefined;
  }

  /** Whether anything says which store to use. */
  get configured(): boolean {
    return this.url !== undefined || Boolean(this.env['JAF_MEMORY_TYPE']);
  }

  /** The configuration of `--provider`, else of the environment. */
  config(): MemoryProviderConfig {
    return this.url === undefined ? readMemoryEnv(this.env) : parseProviderUrl(this.url);
  }

  /** Where the store that was opened keeps its conversations, for people. */
  location = 'this process';

  /**
   * Opens the store; {@link close} closes it.
   *
   * @param create - whether a file or tables may be created; reading commands leave nothing behind
   * @param otherwise - what to open when nothing says which store to use (default: what the environment defaults to)
   */
  async open(create: boolean, otherwise?: MemoryProviderConfig): Promise<MemoryProvider> {
    const configured = this.config();
    const config = this.configured ? configured : (otherwise ?? configured);
    this.location = describeProvider(config).location;
    return await this.#open(config, create);
  }

  /**
   * Opens a store beside the one of the global options; {@link close} closes it.
   *
   * @param config - see {@link configOf}
   * @param create - as for {@link open}
   */
  async openOther(config: MemoryProviderConfig, create: boolean): Promise<MemoryProvider> {
    return await this.#open(config, create);
  }

  async #open(config: MemoryProviderConfig, create: boolean): Promise<MemoryProvider> {
    if (!create) await this.#mustExist(config);
    const provider = await createMemoryProvider(config);
    this.opened.push(provider);
    return provider;
  }

  /** Reading leaves nothing behind: what opening would create is an error. */
  async #mustExist(config: MemoryProviderConfig): Promise<void> {
    const { location } = describeProvider(config);
    const look = await lookAtStore(config);
    if (look?.state !== 'absent' && look?.state !== 'foreign') return;
    const missing =
      config.type === 'postgres'
        ? 'there are no tables of this name'
        : config.type === 'redis'
          ? 'there are no conversations under this prefix'
          : look.state === 'absent'
            ? 'there is no such file'
            : 'there are no conversations in this file';
    throw new MemoryConnectionError(
      `open "${location}": ${missing}. Check the ${config.type === 'postgres' ? 'database, schema and table' : config.type === 'redis' ? 'server, database and prefix' : 'path'}; jaf-memory chat or your program creates it.`,
      { provider: config.type, code: 'refused' },
    );
  }

  /** Opens the store for reading and says so when it can only be empty. */
  async read(): Promise<MemoryProvider> {
    const provider = await this.open(false);
    const config = this.config();
    if (config.type === 'memory' || (config.type === 'sqlite' && config.path === ':memory:')) {
      this.out.note(
        'An in-memory store is always empty in a new process. Name another with --provider sqlite:./file.db or JAF_MEMORY_TYPE.',
      );
    }
    return provider;
  }

  /** Closes what was opened. */
  async close(): Promise<void> {
    await Promise.all(this.opened.map((provider) => provider.close()));
  }
}

/**
 * Prints an error and says with which code to exit.
 *
 * @param error - what a command threw
 * @param out - where to print
 * @param interrupted - the user wanted to stop: what failed because of it is no error
 */
export function report(error: unknown, out: Output, interrupted: boolean): number {
  if (interrupted || error instanceof MemoryAbortError) return EXIT.interrupted;
  if (error instanceof UsageError) {
    out.error(error.message, { code: 'usage' });
    return EXIT.usage;
  }
  if (error instanceof MemoryError) {
    const setting = error instanceof MemoryConfigError ? { setting: error.setting } : {};
    out.error(error.message, { code: error.code, provider: error.provider, retryable: error.retryable, ...setting });
    return error instanceof MemoryConfigError || error instanceof MemoryValidationError ? EXIT.usage : EXIT.connection;
  }
  // not one of ours: a fault of this program, so the place matters
  out.error(error instanceof Error ? (error.stack ?? error.message) : String(error), { code: 'internal' });
  return EXIT.findings;
}
