// What npm run test:proof runs; see test/proof/run.mjs.
import { defineConfig } from 'vitest/config';
import base from './vitest.config.js';

export default defineConfig({
  ...base,
  test: { ...base.test, include: ['test/proof/**/*.proof.test.ts'], exclude: ['**/node_modules/**'], maxWorkers: 1 },
});
