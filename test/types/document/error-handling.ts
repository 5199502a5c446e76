// The document, Error handling (lines 419–448).
import {
  Failure,
  MemoryConnectionError,
  MemoryNotFoundError,
  MemoryStorageError,
  Success,
  unwrap,
  type MemoryProvider,
  type Message,
} from 'jaf/memory';
declare const provider: MemoryProvider;
declare const conversationId: string;
declare const messages: Message[];
// style 1: look at the result
const result = await provider.storeMessages(conversationId, messages);
if (result instanceof Success) console.log('Messages stored successfully', result.data.version);
else if (result instanceof Failure) console.log(`Storage failed: ${result.error.message}`);
// style 2: throw
try {
  unwrap(await provider.appendMessages(conversationId, messages));
} catch (e) {
  if (e instanceof MemoryConnectionError) console.log(`Connection failed to ${e.provider}: ${e.message}`);
  else if (e instanceof MemoryStorageError) console.log(`Storage operation '${e.operation}' failed: ${e.message}`);
  else if (e instanceof MemoryNotFoundError) console.log(`Conversation ${e.conversationId} not found`);
  else throw e;
}
