// The document, Provider info and testing (lines 260–276).
import { getMemoryProviderInfo, testMemoryProviderConnection } from 'jaf/memory';
const info = getMemoryProviderInfo();
console.log(`Provider type: ${info.type}`);
console.log(`Persistence: ${info.persistence}`);
const result = await testMemoryProviderConnection();
if (result.healthy) console.log(`✅ ${result.message}`);
else console.log(`❌ ${result.error}`);
