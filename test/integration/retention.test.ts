import { applyRetention, type ConversationSnapshot, type MemoryProvider, MemoryValidationError, unwrap, user } from 'jaf/memory';
import { describe, expect, it } from 'vitest';
import { KINDS, useStores } from '../support/stores.js';

const DAY = 86_400_000;
const stores = useStores();

/** The public methods alone: a provider somebody else wrote. */
function foreign(provider: MemoryProvider): MemoryProvider {
  const names = ['getConversation', 'getMessages', 'findConversations', 'iterateConversations', 'deleteConversation'] as const;
  return Object.fromEntries(names.map((name) => [name, (provider[name] as (...all: unknown[]) => unknown).bind(provider)])) as never;
}

async function restore(
  provider: MemoryProvider,
  id: string,
  age: number,
  userId: string | undefined,
  metadata: Record<string, string | boolean> = {},
): Promise<void> {
  const at = new Date(Date.now() - age * DAY);
  const messages = [user(`words of ${id}`), user('more')];
  const snapshot: ConversationSnapshot = {
    conversationId: id,
    ...(userId === undefined ? {} : { userId }),
    messages,
    messageCount: 2,
    metadata,
    createdAt: new Date(at.getTime() - 1000 * id.length),
    updatedAt: at,
    version: 1,
    firstSeq: 1,
  };
  unwrap(await provider.restoreConversation(snapshot, { onConflict: 'fail' }));
}

const idsOf = async (provider: MemoryProvider): Promise<string[]> =>
  (await provider.findConversations({ messageLimit: 0 })).map((c) => c.conversationId).sort();

describe.each(KINDS.flatMap((kind) => [[kind, 'ours'] as const, ...(kind === 'memory' ? [[kind, 'another’s'] as const] : [])]))(
  'retention on %s (%s)',
  (kind, whose) => {
    const open = async (): Promise<[MemoryProvider, MemoryProvider]> => {
      const provider = await stores.open(kind);
      return [provider, whose === 'ours' ? provider : foreign(provider)];
    };

    it('by age: previews, then deletes; legal holds stay; run again it finds the held ones only', async () => {
      const [provider, given] = await open();
      for (let i = 0; i < 150; i++) await restore(provider, `old-${i}`, 100 + i, i % 2 ? 'ann' : undefined);
      await restore(provider, 'held', 400, 'ann', { legalHold: true });
      await restore(provider, 'young', 10, 'ann');
      const policies = [{ name: 'quarter', olderThan: 90 * 86_400 }];
      const seen: number[] = [];
      const preview = await applyRetention(given, policies, { dryRun: true, onProgress: ({ matched }) => seen.push(matched) });
      expect(preview).toMatchObject({ stopped: false, policies: [{ policy: 'quarter', matched: 151, deleted: 0, held: 1, changed: 0 }] });
      expect(seen.length).toBeGreaterThan(1);
      expect(await idsOf(provider)).toHaveLength(152);
      const report = await applyRetention(given, policies);
      expect(report).toMatchObject({ policies: [{ matched: 151, deleted: 150, held: 1, archived: 0 }] });
      expect(report.policies[0]?.bytes).toBe(preview.policies[0]?.bytes);
      expect(report.policies[0]?.bytes).toBeGreaterThan(0);
      expect(await idsOf(provider)).toEqual(['held', 'young']);
      expect(await applyRetention(given, policies)).toMatchObject({ policies: [{ matched: 1, deleted: 0, held: 1 }] });
    });

    it('by number: each user keeps the newest, and of those only what is old enough goes', async () => {
      const [provider, given] = await open();
      for (const owner of ['ann', 'bob']) for (let i = 0; i < 6; i++) await restore(provider, `${owner}-${i}`, i * 10, owner);
      for (let i = 0; i < 6; i++) await restore(provider, `nobody-${i}`, i * 10, undefined);
      const both = [{ name: 'both', keepNewest: 2, olderThan: 35 * 86_400, userId: 'bob' }];
      expect(await applyRetention(given, both)).toMatchObject({ policies: [{ matched: 2, deleted: 2 }] });
      expect((await idsOf(provider)).filter((id) => id.startsWith('bob'))).toEqual(['bob-0', 'bob-1', 'bob-2', 'bob-3']);
      expect(await applyRetention(given, [{ name: 'two', keepNewest: 2 }])).toMatchObject({ policies: [{ matched: 6, deleted: 6 }] });
      expect((await idsOf(provider)).filter((id) => !id.startsWith('nobody'))).toEqual(['ann-0', 'ann-1', 'bob-0', 'bob-1']);
      expect((await idsOf(provider)).filter((id) => id.startsWith('nobody'))).toHaveLength(6);
      expect(await applyRetention(given, [{ name: 'none', keepNewest: 0 }])).toMatchObject({ policies: [{ deleted: 4 }] });
    });

    it('by metadata, several policies, archived before it is deleted; what was written meanwhile stays', async () => {
      const [provider, given] = await open();
      for (let i = 0; i < 5; i++) await restore(provider, `draft-${i}`, 10, 'ann', { kind: 'draft' });
      for (let i = 0; i < 5; i++) await restore(provider, `chat-${i}`, 100, 'ann', { kind: 'chat' });
      const archived: string[] = [];
      const report = await applyRetention(
        given,
        [
          { name: 'drafts', olderThan: 86_400, metadata: { kind: 'draft' } },
          { name: 'rest', olderThan: 50 * 86_400 },
        ],
        {
          archive: async (batch) => {
            expect(batch.every(({ messages, firstSeq }) => messages.length === 2 && firstSeq === 1)).toBe(true);
            archived.push(...batch.map(({ conversationId }) => conversationId));
            if (archived.includes('draft-1') && !archived.includes('chat-0'))
              unwrap(await provider.appendMessages('draft-1', [user('not so old')]));
            // nothing of the batch is gone before it is safe
            for (const { conversationId } of batch) expect(await provider.getConversation(conversationId)).toBeDefined();
          },
        },
      );
      expect(report.policies).toMatchObject([
        { policy: 'drafts', matched: 5, archived: 5, deleted: 4, changed: 1 },
        { policy: 'rest', matched: 5, archived: 5, deleted: 5, changed: 0 },
      ]);
      expect(archived).toHaveLength(10);
      expect(await idsOf(provider)).toEqual(['draft-1']);
    });

    it('is safe to stop: an archive that fails deletes nothing of its batch, a signal ends it between batches', async () => {
      const [provider, given] = await open();
      for (let i = 0; i < 200; i++) await restore(provider, `c-${String(i).padStart(3, '0')}`, 100 + i, 'ann');
      const policies = [{ name: 'old', olderThan: 86_400 }];
      let batches = 0;
      const archive = async (): Promise<void> => {
        if (++batches === 2) throw new Error('bucket full');
      };
      await expect(applyRetention(given, policies, { archive })).rejects.toThrow('bucket full');
      const left = (await idsOf(provider)).length;
      expect(left).toBe(136);
      const stop = new AbortController();
      const report = await applyRetention(given, policies, { signal: stop.signal, onProgress: () => stop.abort() });
      expect(report).toMatchObject({ stopped: true, policies: [{ deleted: 64 }] });
      expect(await idsOf(provider)).toHaveLength(left - 64);
      expect(await applyRetention(given, policies)).toMatchObject({ stopped: false, policies: [{ deleted: left - 64 }] });
      expect(await idsOf(provider)).toEqual([]);
    });
  },
);

it('retention refuses a policy that would match more than was meant', async () => {
  const provider = await stores.open('memory');
  const apply = (policy: object): Promise<unknown> => applyRetention(provider, [policy as never]);
  await expect(apply({ name: 'all' })).rejects.toThrow(/policies\[0\]: expected olderThan \(seconds\) or keepNewest/);
  await expect(apply({ name: 'x', olderThan: 1, user: 'ann' })).rejects.toThrow(/policies\[0\]\.user: expected one of/);
  await expect(apply({ name: '', olderThan: -1, keepNewest: 0.5 })).rejects.toThrow(/name.*olderThan.*keepNewest/);
  await expect(applyRetention(provider, [])).rejects.toThrow(MemoryValidationError);
});
