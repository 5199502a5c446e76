// The document, Redis (lines 112–164).
import { createClient } from 'redis';
import { createRedisProvider, type RedisConfig } from 'jaf/memory';
// Method 1: config and client (your client stays yours: connect it, close it)
const redisClient = await createClient({ url: 'redis://localhost:6379/0' }).connect();
const config: RedisConfig = { host: 'localhost', port: 6379, db: 0, keyPrefix: 'jaf:memory:', ttl: 86400 /* 24 hours */ };
const provider1 = await createRedisProvider(config, redisClient);
// Method 2: from a URL
const provider2 = await createRedisProvider({ url: 'redis://localhost:6379/0' });
