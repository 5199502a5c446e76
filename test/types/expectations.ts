// What must compile and, behind each @ts-expect-error, what must not: an expected error that does not come is itself an error.
import {
  type ConversationMemory,
  Failure,
  type HealthStatus,
  type MemoryProvider,
  type MemoryProviderCore,
  type MemoryQuery,
  type Message,
  type Metadata,
  type Result,
  Success,
  type UserMemoryStats,
  type WriteReceipt,
  assistant,
  createConversation,
  toolResult,
  unwrap,
  user,
} from 'jaf/memory';

declare const provider: MemoryProvider;
const id = 'chat-1';
const hello = [user('Hello')];

// ---- metadata ----
interface Session {
  readonly topic: string;
  readonly tags?: string[];
  readonly client: { readonly agent: string; readonly seen: number | null };
}
declare const session: Session;

export async function acceptsInterfacesAsMetadata(): Promise<void> {
  unwrap(await provider.storeMessages(id, hello, session));
  unwrap(await provider.appendMessages(id, hello, session, { createIfMissing: true }));
  unwrap(await provider.appendMessages(id, hello, { topic: 'weather', nested: { list: [1, [2, null]] }, traceId: 't' }));
  unwrap(await provider.appendMessages(id, hello, {}, { expectedVersion: 0 }));
  unwrap(await provider.appendMessages(id, hello, undefined, { createIfMissing: true, operationId: 'op-1', ttl: null }));
  const metadata: Metadata = { any: ['json'] };
  unwrap(await provider.storeMessages(id, hello, metadata));
}

export async function refusesWhatJsonCannotHold(): Promise<void> {
  // @ts-expect-error a Date would come back as a string
  await provider.storeMessages(id, hello, { at: new Date() });
  // @ts-expect-error a Map would come back as {}
  await provider.storeMessages(id, hello, { deep: { map: new Map<string, string>() } });
  // @ts-expect-error a Set would come back as {}
  await provider.storeMessages(id, hello, { set: new Set<string>() });
  // @ts-expect-error JSON has no bigint
  await provider.appendMessages(id, hello, { big: 1n });
  // @ts-expect-error JSON has no functions
  await provider.appendMessages(id, hello, { call: () => 'x' });
  // @ts-expect-error JSON has no symbols
  await provider.appendMessages(id, hello, { mark: Symbol('x') });
  // @ts-expect-error also inside an array
  await provider.appendMessages(id, hello, { list: [new Date()] });
  // @ts-expect-error also in an interface
  await provider.storeMessages(id, hello, null as unknown as { readonly started: Date });
}

export async function refusesOptionsInTheMetadataSlot(): Promise<void> {
  // @ts-expect-error the options are the fourth argument
  await provider.appendMessages(id, hello, { createIfMissing: true });
  // @ts-expect-error the options are the fourth argument
  await provider.storeMessages(id, hello, { expectedVersion: 3 });
  // @ts-expect-error the options are the fourth argument
  await provider.appendMessages(id, hello, { operationId: 'op-1' });
  // @ts-expect-error the options are the fourth argument
  await provider.appendMessages(id, hello, { compressionThreshold: 100 });
  // @ts-expect-error the options are the fourth argument
  await provider.appendMessages(id, hello, { signal: AbortSignal.timeout(10) });
  // @ts-expect-error createIfMissing is for appends: a store always creates
  await provider.storeMessages(id, hello, undefined, { createIfMissing: true });
  // @ts-expect-error a misspelt option
  await provider.appendMessages(id, hello, undefined, { createIfMising: true });
}

// ---- messages ----
export function messages(): Message[] {
  const call: Message = {
    role: 'assistant',
    content: null,
    tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Pune"}' } }],
  };
  const parts: Message = {
    role: 'user',
    content: [
      { type: 'text', text: 'What is this?' },
      { type: 'image_url', image_url: { url: 'https://example.com/cat.png', detail: 'low' } },
      { type: 'file', file: { file_id: 'file-1', format: 'pdf' } },
    ],
    attachments: [{ kind: 'image', mimeType: 'image/png', data: 'aGk=' }],
    message_id: 'm-1',
    an_extra_key: { survives: true },
  };
  // @ts-expect-error camelCase slip: tool_calls
  const slip: Message = { role: 'assistant', content: null, toolCalls: [] };
  // @ts-expect-error camelCase slip: tool_call_id
  const slip2: Message = { role: 'tool', content: '{}', toolCallId: 'call_1' };
  // @ts-expect-error no such role
  const role: Message = { role: 'bot', content: 'hi' };
  // @ts-expect-error content is required; null is a content
  const empty: Message = { role: 'assistant' };
  const parsed: Message = {
    role: 'assistant',
    content: null,
    // @ts-expect-error arguments are the model's text, not an object
    tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: {} } }],
  };
  // @ts-expect-error messages are read-only
  call.content = 'changed';
  return [call, parts, slip, slip2, role, empty, parsed, assistant('Hi'), toolResult('call_1', 'weather', { celsius: 31 })];
}

export async function refusesSlipsAtTheCall(): Promise<void> {
  // @ts-expect-error camelCase slip in a literal given to a write
  await provider.appendMessages(id, [{ role: 'assistant', content: null, toolCalls: [] }]);
  // @ts-expect-error one message is still a list
  await provider.appendMessages(id, user('Hello'));
  // @ts-expect-error the id comes first
  await provider.appendMessages(hello, id);
}

// ---- results ----
export async function results(): Promise<string> {
  const result: Result<WriteReceipt> = await provider.appendMessages(id, hello);
  // @ts-expect-error data is there only after a look at `ok`
  void result.data;
  if (result.ok) {
    const version: number = result.data.version;
    return String(version);
  }
  const retryable: boolean = result.error.retryable;
  const outcome: 'not_applied' | 'unknown' = result.error.outcome;
  if (result instanceof Failure) return `${result.error.code} ${retryable} ${outcome}`;
  const made: Result<number> = new Success(1);
  return made instanceof Success ? made.data.toFixed() : '';
}

// ---- reads ----
export async function reads(): Promise<void> {
  const found: ConversationMemory | undefined = await provider.getConversation(id, { messageLimit: 10 });
  // @ts-expect-error it may be absent
  void found.messages;
  if (!found) return;
  // @ts-expect-error returned objects are frozen
  found.messages.push(user('x'));
  // @ts-expect-error returned objects are frozen
  found.metadata['topic'] = 'x';
  // @ts-expect-error an owner may be absent
  const owner: string = found.userId;
  const query: MemoryQuery = { userId: undefined, limit: undefined, since: new Date(), order: 'oldest' };
  await provider.findConversations(query);
  await provider.findConversations();
  // @ts-expect-error since is a Date
  await provider.findConversations({ since: '2024-01-15' });
  // @ts-expect-error no such order
  await provider.findConversations({ order: 'random' });
  for await (const each of provider.iterateConversations()) void each.version.toFixed();
  const { items, nextSeq } = await provider.getMessages(id, { after: 10, limit: 5 });
  void [items[0]?.seq, items[0]?.message.role, nextSeq, owner];

  const all = await provider.getStats();
  // @ts-expect-error only the statistics of a user have it
  void all.userConversations;
  const own: UserMemoryStats = await provider.getStats('user-123');
  const sum: number = own.userConversations + own.userMessages + own.totalStorageSize;
  const health: HealthStatus = await provider.healthCheck();
  // @ts-expect-error message or error, by `healthy`
  void health.message;
  void [sum, health.healthy ? health.message : health.error, health.metrics.activeConnections, health.latencyMs];
}

export async function disposes(): Promise<void> {
  await using scoped: MemoryProvider = provider.forUser('user-123');
  await scoped.clearUserConversations('user-123');
}

createConversation({ conversationId: id, messages: hello, userId: undefined });
// @ts-expect-error the id is required
createConversation({ messages: hello });

// ---- providers of one's own ----
/** A provider that hands everything on, as a cache or a metrics wrapper would. */
export abstract class Wrapper implements MemoryProvider {
  constructor(protected readonly inner: MemoryProvider) {}
  // arrows typed by the interface: a method of the same generic text is not assignable to it
  readonly storeMessages: MemoryProvider['storeMessages'] = (...args) => this.inner.storeMessages(...args);
  readonly appendMessages: MemoryProvider['appendMessages'] = (conversationId, list, metadata, options) =>
    this.inner.appendMessages(conversationId, list, metadata, options);
  abstract restoreConversation: MemoryProvider['restoreConversation'];
  abstract getConversation: MemoryProvider['getConversation'];
  abstract getRecentMessages: MemoryProvider['getRecentMessages'];
  abstract getMessages: MemoryProvider['getMessages'];
  abstract findConversations: MemoryProvider['findConversations'];
  abstract iterateConversations: MemoryProvider['iterateConversations'];
  abstract deleteConversation: MemoryProvider['deleteConversation'];
  abstract clearUserConversations: MemoryProvider['clearUserConversations'];
  abstract getStats: MemoryProvider['getStats'];
  abstract purgeExpired: MemoryProvider['purgeExpired'];
  abstract healthCheck: MemoryProvider['healthCheck'];
  abstract forUser: MemoryProvider['forUser'];
  abstract close: MemoryProvider['close'];
  abstract [Symbol.asyncDispose]: MemoryProvider[typeof Symbol.asyncDispose];
}
const core: MemoryProviderCore = provider;
// @ts-expect-error six methods are not a whole provider
const whole: MemoryProvider = core;
void whole;
