import { type Backend, caseId, conformanceCases, isSkipped, runCase } from 'jaf/memory/testing';
import { describe, it } from 'vitest';

/** Registers every case of the kit as a test. A skipped one says what it needs. */
export function conformance(backend: Backend): void {
  describe(`conformance: ${backend.name}`, () => {
    for (const one of conformanceCases()) {
      if (isSkipped(backend, one)) it.skip(`${caseId(one)} (needs ${one.needs})`);
      else it(caseId(one), () => runCase(backend, one));
    }
  });
}
