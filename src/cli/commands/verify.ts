/**
 * `jaf-memory verify`: whether conversations can be read, and sent to a model. Ids and kinds of problems only: no content.
 *
 * @module
 */
import type { Command } from 'commander';
import { type Verification, verifyMessages } from '../../memory/integrity.js';
import type { Reading } from '../../memory/internals.js';
import { readings } from '../../memory/snapshots.js';
import type { Issue, MemoryProvider, MemoryQuery } from '../../memory/types.js';
import { verifyConversation } from '../../memory/verify.js';
import { addFilterOptions, type FilterOptions, readFilters } from '../query.js';
import { EXIT, type Run, type Session, UsageError } from '../session.js';
import { counted, printableLine } from '../text.js';

/** A conversation, its problems, and the sequence number of position 0. */
interface Finding extends Verification {
  readonly id: string;
  readonly firstSeq: number;
}

async function look(provider: MemoryProvider, { id, snapshot }: Reading): Promise<Finding> {
  if (snapshot) return { id, firstSeq: snapshot.firstSeq, ...verifyMessages(snapshot.messages) };
  const { firstSeq } = await provider.getMessages(id, { limit: 0 });
  return { id, firstSeq, ...(await verifyConversation(provider, id)) };
}

/** Every conversation that is meant, one after the other. */
async function* findings(provider: MemoryProvider, ids: readonly string[], query: MemoryQuery): AsyncGenerator<Finding> {
  if (ids.length === 0) {
    for await (const reading of readings(provider, query, 'verify')) yield await look(provider, reading);
    return;
  }
  for (const id of ids) {
    let found = false;
    for await (const reading of readings(provider, { ...query, conversationId: id }, 'verify')) {
      found = true;
      yield await look(provider, reading);
    }
    if (!found) yield { id, firstSeq: 1, ...(await verifyConversation(provider, id)) };
  }
}

const issueText = ({ index, kind, detail }: Issue, firstSeq: number): string =>
  `${index < 0 ? '' : `#${firstSeq + index} `}${kind}: ${printableLine(detail)}`;

/** JSON as it comes: findings first, then the totals. */
function jsonWriter({ out }: Session): { add(finding: object): void; end(totals: object): void } {
  let before = '{"findings":[';
  return {
    add: (finding) => {
      out.write(before + JSON.stringify(finding));
      before = ',';
    },
    end: (totals) => out.line(`${before === ',' ? '' : before}],${JSON.stringify(totals).slice(1)}`),
  };
}

/** Adds the command. */
export function registerVerify(program: Command, run: Run): void {
  const command = program
    .command('verify')
    .description('check that conversations can be read, and sent to a model: ids and problems, no content')
    .argument('[ids...]', 'conversation ids (default: all)');
  addFilterOptions(command)
    .addHelpText(
      'after',
      `
Problems: empty, unknown-role, damaged, duplicate-call-id, missing-tool-result, orphan-tool-result in messages;
damaged-segment, damaged and non-monotonic-sequence in what is stored. jaf-memory repair ID mends tool calls and results.

Examples:
  jaf-memory verify
  jaf-memory verify --user ada --since 7d`,
    )
    .action(
      run(async (session, ids: readonly string[], options: FilterOptions) => {
        const { out, signal } = session;
        const query = { ...readFilters(options), signal };
        if (ids.length > 0 && Object.keys(readFilters(options)).length > 0)
          throw new UsageError('ids and filters exclude each other. Give one of them.');
        const provider = await session.read();
        const total =
          ids.length > 0 ? ids.length : Object.keys(query).length > 1 ? undefined : (await provider.getStats()).totalConversations;
        const bar = total === undefined ? out.counting('conversations checked') : out.progress('checked', total);
        const json = out.json ? jsonWriter(session) : undefined;
        let conversations = 0;
        let invalid = 0;
        try {
          for await (const { id, firstSeq, valid, issues } of findings(provider, ids, query)) {
            bar.update(++conversations);
            if (valid) continue;
            invalid++;
            const listed = issues.map((issue) => ({ ...issue, ...(issue.index < 0 ? {} : { seq: firstSeq + issue.index }) }));
            if (json) json.add({ conversationId: id, issues: listed });
            else for (const issue of issues) out.line(`${printableLine(id)}  ${issueText(issue, firstSeq)}`);
          }
        } finally {
          bar.stop();
          if (signal.aborted) out.note(`Interrupted after ${counted(conversations, 'conversation')}. Nothing was changed: run it again.`);
          json?.end({ conversations, invalid, complete: !signal.aborted });
        }
        if (!json)
          out.prose(`${counted(conversations, 'conversation')} checked, ${invalid === 0 ? 'no problems' : `${invalid} with problems`}.`);
        return invalid === 0 ? EXIT.ok : EXIT.findings;
      }),
    );
}
