// The document, Troubleshooting (lines 628–678).
import { createMemoryProviderFromEnv, testMemoryProviderConnection, verifyConversation, type MemoryProvider } from 'jaf/memory';
const check = await testMemoryProviderConnection();
if (!check.healthy) console.log(`Connection issue: ${check.error}`);
{
  await using provider: MemoryProvider = await createMemoryProviderFromEnv(); // or try { … } finally { await provider.close() }
  const start = performance.now();
  await provider.getConversation('test-id');
  const ms = performance.now() - start;
  if (ms > 100) console.log(`Slow response: ${ms.toFixed(2)}ms`);
  const { valid, issues } = await verifyConversation(provider, 'test-id');
  if (!valid) for (const i of issues) console.log(`Invalid message at index ${i.index}: ${i.kind} ${i.detail}`);
}
