// The document, Monitoring (lines 496–538).
import type { MemoryProvider } from 'jaf/memory';
declare const provider: MemoryProvider;
declare function sendAlert(text: string): Promise<void>;
async function monitorMemoryHealth(): Promise<void> {
  const health = await provider.healthCheck(); // never throws
  if (health.healthy) {
    console.log(`✅ Memory provider healthy: ${health.message}`);
    const { metrics } = health;
    console.log(`   - Connections: ${metrics.activeConnections ?? 'N/A'}`);
    console.log(`   - Memory usage: ${metrics.memoryUsage ?? 'N/A'}`);
    console.log(`   - Response time: ${metrics.avgResponseTime ?? 'N/A'}ms`);
  } else {
    console.log(`❌ Memory provider unhealthy: ${health.error}`);
    await sendAlert(`Memory provider failure: ${health.error}`);
  }
}
setInterval(() => void monitorMemoryHealth(), 60_000).unref(); // the document's create_task runs it once
