// npm run bench:peers [-- ROW…] [--provider memory|redis|postgres] [--repetitions N]: jaf beside its peers, on the same servers in the same run, turn
// about. Installs the peers when they are missing (bench/peers/package.json, more than 1 GB), and the npm package of Node 24
// for the peer that needs it. Starts private servers. Results: bench/results/peers-*.json.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const NODE_24 = '24.21.0';
const here = fileURLToPath(new URL('.', import.meta.url));
const npm = (cwd, ...args) =>
  execFileSync('npm', [...args, '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd,
    stdio: ['ignore', 'inherit', 'inherit'],
  });

/** Path of a Node 24: the package that carries the binary of this platform, in a folder of its own. */
function node24() {
  const folder = `${here}node_modules/.cache/node24`;
  const name = `node-${process.platform}-${process.arch}`;
  const binary = `${folder}/node_modules/${name}/bin/node`;
  if (!existsSync(binary)) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(`${folder}/package.json`, '{ "private": true }\n');
    npm(folder, 'install', '--no-save', `${name}@${NODE_24}`);
  }
  return binary;
}

const usage = 'npm run bench:peers [-- ROW…] [--provider memory|redis|postgres]… [--repetitions N]';
const { values, positionals } = asked();

function asked() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        provider: { type: 'string', multiple: true },
        repetitions: { type: 'string', default: '7' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
  } catch (error) {
    console.error(`error: ${error.message}\n${usage}`);
    process.exit(2);
  }
}
if (values.help) {
  console.log(usage);
  process.exit(0);
}
if (!existsSync(`${here}node_modules`)) npm(here, 'ci');
const { ROWS } = await import('./rows.mjs');
const { CONTENDERS } = await import('./contenders.mjs');
const providers = values.provider ?? Object.keys(CONTENDERS);
const rows =
  positionals.length === 0 ? ROWS : ROWS.filter(({ name }) => positionals.some((asked) => name === asked || name === `peers-${asked}`));
const unknown = providers.find((provider) => !Object.hasOwn(CONTENDERS, provider));
if (unknown !== undefined || rows.length === 0) {
  console.error(`Rows: ${ROWS.map(({ name }) => name).join(', ')}. Providers: ${Object.keys(CONTENDERS).join(', ')}.`);
  process.exit(2);
}
const { comparePeers } = await import('./compare.mjs');
await comparePeers({ rows, providers, node: { 24: node24() }, repetitions: Number(values.repetitions) });
