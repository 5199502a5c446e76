/**
 * Mistakes in writes.
 *
 * @module
 */
import type { Stored, Write, WriteOutcome } from '../../driver.js';
import { mergeMetadata } from '../../local.js';
import { type BrokenDriver, pause, variant } from './broken.js';

const readModifyWrite: BrokenDriver = {
  name: 'read-modify-write append',
  mistake: 'An append reads the conversation, adds to it and writes it back: whatever was appended in between is gone.',
  failsOn: 'concurrency: of 50 appends by 50 providers each is kept, once',
  wrap: (driver) =>
    variant(driver, {
      write: async (batch, trip) => {
        const before = new Map<string, Stored>();
        for (const { id, now, kind } of batch) {
          const stored = kind === 'append' ? await driver.read({ id, now, window: { kind: 'all' } }, trip) : undefined;
          if (stored) before.set(id, stored);
        }
        await pause();
        const overwriting = async (write: Write): Promise<Write> => {
          const old = before.get(write.id);
          const now = await driver.read({ id: write.id, now: write.now, window: { kind: 'none' } }, trip);
          if (!old || now?.header.version === old.header.version) return write;
          const metadata = mergeMetadata(old.header.metadata, write.metadata ?? '{}');
          return { ...write, kind: 'put', metadata, bodies: [...old.bodies.map(({ body }) => body), ...write.bodies] };
        };
        return driver.write(await Promise.all(batch.map(overwriting)), trip);
      },
    }),
};

const secondSnapshot: BrokenDriver = {
  name: 'an outcome read from a second snapshot',
  mistake: 'The write is atomic, but its receipt is read afterwards, in a second statement: it tells of somebody else’s write.',
  failsOn: 'concurrency: driver: of appends at once each outcome is of its own step',
  wrap: (driver) =>
    variant(driver, {
      write: async (batch, trip) => {
        const outcomes = await driver.write(batch, trip);
        await pause();
        const later = async (outcome: WriteOutcome, n: number): Promise<WriteOutcome> => {
          const write = batch[n];
          if (outcome.kind !== 'ok' || !write) return outcome;
          const stored = await driver.read({ id: write.id, now: write.now, window: { kind: 'none' } }, trip);
          if (!stored) return outcome;
          const { version, first, next } = stored.header;
          return { ...outcome, receipt: { ...outcome.receipt, version, messageCount: next - first } };
        };
        return Promise.all(outcomes.map(later));
      },
    }),
};

const ignoredOwner: BrokenDriver = {
  name: 'ignored owner in writes',
  mistake: 'A write looks the conversation up by its id alone, so that one user writes into another’s.',
  failsOn: 'owner: driver: a scoped write meets only its owner’s conversations',
  wrap: (driver) =>
    variant(driver, {
      write: async (batch, trip) => {
        const outcomes = [...(await driver.write(batch, trip))];
        for (const [n, write] of batch.entries()) {
          if (outcomes[n]?.kind !== 'forbidden') continue;
          const [outcome] = await driver.write([{ ...write, scoped: false, owner: undefined }], trip);
          if (outcome) outcomes[n] = outcome;
        }
        return outcomes;
      },
    }),
};

const lostKeys: BrokenDriver = {
  name: 'lost metadata keys',
  mistake: 'An append stores the metadata it was given instead of merging it: keys it does not name are gone.',
  failsOn: 'write: an append merges metadata per top-level key; null is a value, objects are replaced whole',
  wrap: (driver) => {
    const last = new Map<string, string>();
    const shown = <S extends Stored | undefined>(stored: S): S => {
      const metadata = stored && last.get(stored.header.id);
      return metadata === undefined ? stored : { ...stored, header: { ...(stored as Stored).header, metadata } };
    };
    return variant(driver, {
      write: async (batch, trip) => {
        const outcomes = await driver.write(batch, trip);
        for (const [n, { id, kind, metadata }] of batch.entries()) {
          const outcome = outcomes[n];
          if (outcome?.kind !== 'ok') continue;
          if (outcome.receipt.created || kind !== 'append') last.delete(id);
          else if (metadata !== undefined) last.set(id, metadata);
        }
        return outcomes;
      },
      read: async (read, trip) => shown(await driver.read(read, trip)),
      list: async (list, trip) => {
        const page = await driver.list(list, trip);
        return { ...page, items: page.items.map(shown) };
      },
    });
  },
};

const nullRemoves: BrokenDriver = {
  name: 'null removes a key',
  mistake: 'Metadata is merged as a JSON merge patch (RFC 7386), where null means: remove. Here null is a value.',
  failsOn: 'write: an append merges metadata per top-level key; null is a value, objects are replaced whole',
  wrap: (driver) =>
    variant(driver, {
      write: (batch, trip) =>
        driver.write(
          batch.map((write) => {
            if (write.kind !== 'append' || write.metadata === undefined) return write;
            const entries = Object.entries(JSON.parse(write.metadata) as object).filter(([, value]) => value !== null);
            return {
              ...write,
              metadata: `{${entries.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(',')}}`,
            };
          }),
          trip,
        ),
    }),
};

const oneSpoilsAll: BrokenDriver = {
  name: 'one refused write refuses its batch',
  mistake:
    'A batch is one transaction that is rolled back when one write is refused; the writes of a batch have nothing to do with each other.',
  failsOn: 'write: driver: outcomes of a batch come in its order, each write decided alone',
  wrap: (driver) =>
    variant(driver, {
      write: async (batch, trip) => {
        if (batch.length === 1) return driver.write(batch, trip);
        const outcomes: WriteOutcome[] = [];
        for (const write of batch) {
          const outcome = (await driver.write([write], trip))[0];
          if (outcome && outcome.kind !== 'ok') return batch.map(() => outcome);
          if (outcome) outcomes.push(outcome);
        }
        return outcomes;
      },
    }),
};

/** Mistakes in writes. */
export const brokenWrites: readonly BrokenDriver[] = [readModifyWrite, secondSnapshot, ignoredOwner, lostKeys, nullRemoves, oneSpoilsAll];
