import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

// Tests import the build, as users do. JAF_TEST_SRC=1 points them at the sources instead, for a quick look while editing.
const base = process.env['JAF_TEST_SRC'] ? ['src', 'ts'] : ['dist', 'js'];
const at = (path: string): string => fileURLToPath(new URL(`./${base[0]}/${path}.${base[1]}`, import.meta.url));

export default defineConfig({
  resolve: {
    alias: [
      { find: /^jaf\/memory\/testing$/, replacement: at('memory/testing/index') },
      { find: /^jaf\/memory\/otel$/, replacement: at('memory/otel') },
      { find: /^jaf\/memory$/, replacement: at('memory/index') },
      { find: /^jaf\/models$/, replacement: at('models/index') },
      { find: /^jaf\/testing$/, replacement: at('testing/index') },
      { find: /^jaf$/, replacement: at('index') },
    ],
  },
  test: {
    include: ['test/**/*.test.ts'],
    // a suite of its own: npm run test:proof
    exclude: ['**/node_modules/**', 'test/proof/**'],
    globalSetup: ['test/support/install.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: 'forks',
    maxWorkers: 2,
  },
});
