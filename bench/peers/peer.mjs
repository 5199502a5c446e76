// A contender in a child process, seen from the benchmark.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** A peer that has not answered for so long hangs. */
const HANGS_MS = 180_000;

/**
 * Starts a contender.
 *
 * @param {{ adapter: string, node?: string, options: object }} contender - `node`: path of the Node it runs under
 */
export async function startPeer({ adapter, node = process.execPath, options }) {
  const child = fork(fileURLToPath(new URL('worker.mjs', import.meta.url)), [adapter, JSON.stringify(options)], {
    execPath: node,
    execArgv: ['--expose-gc'],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let log = '';
  child.stderr.on('data', (text) => (log = (log + text).slice(-4000)));
  let settle;
  child.on('message', ({ answer, failed }) =>
    failed === undefined ? settle?.resolve(answer) : settle?.reject(new Error(`${adapter}: ${failed}`)),
  );
  child.on('exit', (code) => settle?.reject(new Error(`${adapter} ended with ${code}:\n${log}`)));
  const answer = (step) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        child.kill('SIGKILL');
        reject(new Error(`${adapter}: no answer to "${step}" in ${HANGS_MS / 1000} s`));
      }, HANGS_MS);
      const ended = (then) => (value) => {
        clearTimeout(timer);
        settle = undefined;
        then(value);
      };
      settle = { resolve: ended(resolve), reject: ended(reject) };
    });
  const ask = (step, given) => {
    const answered = answer(step);
    child.send({ step, given });
    return answered;
  };
  await answer('start');
  return {
    ask,
    close: async () => {
      if (child.exitCode === null && child.signalCode === null) await ask('close').finally(() => child.kill());
    },
  };
}
