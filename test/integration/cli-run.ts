/** Runs the built command line as a process of its own, and a model server for it to talk to. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';

/** Where dist/ and examples/ are; another build can be tested through JAF_TEST_ROOT. */
export const ROOT = process.env['JAF_TEST_ROOT'] ?? fileURLToPath(new URL('../..', import.meta.url));
const CLI = join(ROOT, 'dist/cli/main.js');

export interface Ran {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string;
  readonly env?: Record<string, string>;
  readonly cwd?: string;
  /** Leaves stdin open and gets the process. */
  readonly live?: (child: ChildProcess) => void;
}

/** Nothing of the caller's environment that the command line looks at. */
const clean = (): Record<string, string> => ({ PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '' });

/** Runs a script of this package with Node. */
export function runScript(script: string, args: readonly string[], { input, env = {}, cwd = ROOT, live }: RunOptions = {}): Promise<Ran> {
  const child = spawn(process.execPath, [script, ...args], { cwd, env: { ...clean(), ...env }, stdio: 'pipe' });
  const out = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (out.stderr += text));
  child.stdin.on('error', () => undefined); // it may have ended before it read everything
  if (live) live(child);
  else child.stdin.end(input ?? '');
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal, ...out }));
  });
}

/** Runs `jaf-memory`. */
export const cli = (args: readonly string[], options?: RunOptions): Promise<Ran> => runScript(CLI, args, options);

/** A folder that is gone after the test. */
export function testFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'jaf-cli-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

interface WireCall {
  readonly id: string;
  readonly type: 'function';
  readonly function: { readonly name: string; readonly arguments: string };
}
export interface WireReply {
  readonly content: string | null;
  readonly tool_calls?: readonly WireCall[];
}

/**
 * A chat-completions server on a free port.
 *
 * @param answer - the reply to the messages it was sent; `undefined` = never answers
 */
export async function modelServer(
  answer: (messages: readonly { role: string; content: string | null }[]) => WireReply | undefined,
): Promise<Record<string, string>> {
  const server = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    request.on('end', () => {
      const { messages, stream } = JSON.parse(text) as { messages: { role: string; content: string | null }[]; stream?: boolean };
      const reply = answer(messages);
      if (!reply) return;
      if (!stream) {
        response.setHeader('content-type', 'application/json');
        response.end(JSON.stringify({ choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', ...reply } }] }));
        return;
      }
      response.setHeader('content-type', 'text/event-stream');
      const send = (delta: object, finish: string | null = null): unknown =>
        response.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`);
      for (const piece of (reply.content ?? '').match(/[\s\S]{1,5}/g) ?? []) send({ role: 'assistant', content: piece });
      if (reply.tool_calls) send({ role: 'assistant', tool_calls: reply.tool_calls.map((call, index) => ({ index, ...call })) });
      send({}, 'stop');
      response.end('data: [DONE]\n\n');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { OPENAI_API_KEY: 'sk-test-hunter2', OPENAI_BASE_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1` };
}
