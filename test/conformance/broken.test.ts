import {
  type Backend,
  type BrokenDriver,
  brokenDrivers,
  caseId,
  conformanceCases,
  inMemoryBackend,
  runConformance,
} from 'jaf/memory/testing';
import { describe, expect, it } from 'vitest';

function breaking(broken: BrokenDriver): Backend {
  const healthy = inMemoryBackend();
  return { ...healthy, name: broken.name, create: async (clock) => broken.wrap(await healthy.create(clock)) };
}

describe('deliberately broken drivers', () => {
  for (const broken of brokenDrivers) {
    it(`${broken.name} fails on "${broken.failsOn}"`, { timeout: 300_000 }, async () => {
      expect(conformanceCases().map(caseId)).toContain(broken.failsOn);
      const healthy = await runConformance(inMemoryBackend(), { filter: (id) => id === broken.failsOn });
      expect(healthy).toMatchObject({ passed: 1, failed: [] });

      const { failed, results } = await runConformance(breaking(broken));
      expect(failed.map(({ id }) => id)).toContain(broken.failsOn);
      // it is broken in one way: the rest of the kit finds little to say
      expect(failed.length).toBeLessThan(results.length / 10);
    });
  }
});
