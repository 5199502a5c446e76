import { type Backend, type CaseFilter, caseId, conformanceCases, isSkipped, runCase } from 'jaf/memory/testing';
import { describe, it } from 'vitest';

/** Registers every case of the kit as a test, or those of a filter. A skipped one says what it needs. */
export function conformance(backend: Backend, filter?: CaseFilter): void {
  describe(`conformance: ${backend.name}`, () => {
    for (const one of conformanceCases(filter)) {
      if (isSkipped(backend, one)) it.skip(`${caseId(one)} (needs ${one.needs})`);
      else it(caseId(one), () => runCase(backend, one));
    }
  });
}
