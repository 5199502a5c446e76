/**
 * Mistakes in what is done twice, or late.
 *
 * @module
 */
import type { StorageDriver, Write, WriteOutcome, WriterMark } from '../../driver.js';
import { type BrokenDriver, variant } from './broken.js';

/** Applies anew what the driver refused in a certain way: as a first attempt, of the same writer or of another. */
function insisting(
  driver: StorageDriver,
  refused: (outcome: WriteOutcome, write: Write) => boolean,
  writerOf: (write: Write) => WriterMark,
): StorageDriver {
  return variant(driver, {
    write: async (batch, trip) => {
      const outcomes = [...(await driver.write(batch, trip))];
      for (const [n, write] of batch.entries()) {
        const outcome = outcomes[n];
        if (!outcome || !refused(outcome, write)) continue;
        const [again] = await driver.write([{ ...write, retry: false, writer: writerOf(write) }], trip);
        if (again) outcomes[n] = again;
      }
      return outcomes;
    },
  });
}

const ringOverflows: BrokenDriver = {
  name: 'a retry ring that overflows',
  mistake: 'The ring of writers has no floor: a retry of a writer that left it looks new, and is applied a second time.',
  failsOn: 'retries: driver: a ring that is full answers unknown for the writer that left it',
  wrap: (driver) =>
    insisting(
      driver,
      (outcome, write) => outcome.kind === 'unknown' && write.retry,
      ({ writer }) => writer,
    ),
};

const fromTheDead: BrokenDriver = {
  name: 'a creation retried after a delete',
  mistake: 'A removal leaves nothing behind: the late retry of a creation finds no conversation and begins it again.',
  failsOn: 'remove: driver: a creation retried after the removal is refused until the tombstone is due, reaped or not',
  wrap: (driver) =>
    insisting(
      driver,
      (outcome, write) => outcome.kind === 'missing' && write.create,
      ({ writer }) => ({ id: `${writer.id}-again`, counter: writer.counter }),
    ),
};

const forgetfulRemoval: BrokenDriver = {
  name: 'a removal that forgets who asked',
  mistake: 'A removal is not noted under its writer: when the reply is lost, the retry answers "there was none".',
  failsOn: 'remove: driver: a repeated removal answers removed and removes nothing else',
  wrap: (driver) => {
    let counter = 0;
    return variant(driver, {
      remove: (remove, trip) => driver.remove({ ...remove, retry: false, writer: { id: `remover-${++counter}`, counter: 1 } }, trip),
    });
  },
};

const packAcrossEpochs: BrokenDriver = {
  name: 'a pack that crosses epochs',
  mistake: 'A pack is checked against `packedTo` alone: planned for one life, it replaces the messages of the next.',
  failsOn: 'packing: driver: a pack does not cross into another life',
  wrap: (driver) =>
    variant(driver, {
      pack: async (pack, trip) => {
        const outcome = await driver.pack(pack, trip);
        if (outcome === 'ok') return outcome;
        const stored = await driver.read({ id: pack.id, now: pack.now, window: { kind: 'none' } }, trip);
        return stored ? driver.pack({ ...pack, epoch: stored.header.epoch }, trip) : outcome;
      },
    }),
};

/** Mistakes in what is done twice, or late. */
export const brokenRetries: readonly BrokenDriver[] = [ringOverflows, fromTheDead, forgetfulRemoval, packAcrossEpochs];
