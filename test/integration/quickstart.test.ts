import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createSqliteProvider } from 'jaf/memory';
import { expect, it } from 'vitest';
import { modelServer, type Ran, ROOT, runScript, testFolder } from './cli-run.js';

const quickstart = (env: Record<string, string> = {}): Promise<Ran> => {
  const folder = testFolder();
  return runScript(join(ROOT, 'scripts/quickstart.mjs'), [], { env: { TMPDIR: folder, ...env } });
};
const codeOf = (stdout: string): string | undefined => /"confirmation_code":"([A-Z]{6}\d)"/.exec(stdout)?.[1];

it('remembers across a kill, with a new fact each time', async () => {
  const codes = new Set<string | undefined>();
  for (let i = 0; i < 2; i++) {
    const { code, stdout, stderr } = await quickstart();
    expect([code, stderr]).toStrictEqual([0, '']);
    const fact = codeOf(stdout);
    codes.add(fact);
    expect(stdout).toContain('was killed (SIGKILL)');
    expect(stdout).toContain('messages before the kill: 3');
    expect(stdout).toContain('repairs: none');
    expect(stdout).toContain('messages after: 5');
    expect(stdout).toContain('statistics: 1 conversation, 5 messages');
    expect(stdout).toMatch(new RegExp(`assistant  .*${fact}`));
    expect(stdout).toContain(`Verified: the answer holds ${fact}`);
  }
  expect(codes.size).toBe(2);
});

it('says where the file is, and it is there', async () => {
  const { stdout } = await quickstart();
  const path = /^The file: (.+)$/m.exec(stdout)?.[1] ?? '';
  expect(existsSync(path)).toBe(true);
  await using provider = await createSqliteProvider({ path });
  const conversation = await provider.getConversation('quickstart');
  expect(conversation?.messages.map((m) => m.role)).toStrictEqual(['user', 'assistant', 'tool', 'user', 'assistant']);
  expect(conversation?.messages[2]?.content).toContain(codeOf(stdout));
});

const booking = {
  content: null,
  tool_calls: [{ id: 'c1', type: 'function' as const, function: { name: 'book_flight', arguments: '{"to":"Lisbon"}' } }],
};

it('talks to a real model, which gets the stored messages', async () => {
  const sent: (readonly { role: string; content: string | null }[])[] = [];
  const env = await modelServer((messages) => {
    sent.push(messages);
    const result = messages.find((m) => m.role === 'tool')?.content;
    return result ? { content: `It is ${(JSON.parse(result) as { confirmation_code: string }).confirmation_code}.` } : booking;
  });
  const { code, stdout } = await quickstart({ ...env, JAF_MODEL: 'some-model' });
  expect(code).toBe(0);
  expect(stdout).toContain('the model some-model at http://127.0.0.1');
  expect(stdout).not.toContain('hunter2');
  expect(sent.map((messages) => messages.map((m) => m.role))).toStrictEqual([
    ['system', 'user'],
    ['system', 'user', 'assistant', 'tool', 'user'],
  ]);
});

it('fails when the answer is wrong, and when nothing was booked', async () => {
  const wrong = await quickstart(
    await modelServer((messages) => (messages.some((m) => m.role === 'tool') ? { content: 'It is ABCDEF7.' } : booking)),
  );
  expect(wrong.code).toBe(1);
  expect(wrong.stderr).toContain('the answer does not hold the code');
  const idle = await quickstart(await modelServer(() => ({ content: 'I would rather not.' })));
  expect(idle.code).toBe(1);
  expect(idle.stderr).toContain('answered without booking');
  const broken = await quickstart({ OPENAI_API_KEY: 'sk-hunter2', OPENAI_BASE_URL: 'http://127.0.0.1:9/v1' });
  expect(broken.code).toBe(1);
  expect(broken.stderr).toContain('quickstart failed: ');
  expect(broken.stderr).not.toContain('hunter2');
});

it('needs a folder for temporary files and nothing else', async () => {
  const folder = testFolder();
  await runScript(join(ROOT, 'scripts/quickstart.mjs'), [], { env: { TMPDIR: folder }, cwd: folder });
  expect(readdirSync(folder)).toHaveLength(1);
});
