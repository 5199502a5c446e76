// An HTTP server with an agent that remembers: node examples/http-server/server.mjs. docs/http-api.md describes it.
//
//   JAF_HTTP_TOKENS   token=user,token=user …   required: who may call, and as whom
//   PORT              default 8080; 0 = any free port
//   JAF_HTTP_MAX_BODY bytes of a request body, default 65536
//   JAF_HTTP_DRAIN    milliseconds that requests under way have at the end, default 10000
//   JAF_MEMORY_TYPE … where conversations are kept (docs/providers.md); OPENAI_API_KEY: a real model
import { createServer } from 'node:http';
import { createMemoryProviderFromEnv } from 'jaf/memory';
import { createOfflineModel, createOpenAIModel } from 'jaf/models';
import { createApp } from './app.mjs';
import { usersByToken } from './auth.mjs';

const count = (name, otherwise) => {
  const text = process.env[name] || String(otherwise);
  if (!/^\d+$/.test(text)) throw new Error(`${name} must be a whole number`);
  return Number(text);
};

/** How often each type of event was told, for /metrics. */
const events = new Map();
const users = usersByToken(process.env.JAF_HTTP_TOKENS);
const provider = await createMemoryProviderFromEnv(process.env, {
  onEvent: ({ type }) => events.set(type, (events.get(type) ?? 0) + 1),
});
const drain = count('JAF_HTTP_DRAIN', 10_000);
const app = createApp({
  provider,
  events,
  users,
  model: process.env.OPENAI_API_KEY ? createOpenAIModel() : createOfflineModel(),
  maxBody: count('JAF_HTTP_MAX_BODY', 65_536),
});
const server = createServer({ requestTimeout: 30_000, headersTimeout: 10_000 }, (request, response) => void app.handle(request, response));
server.listen(count('PORT', 8080), '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}`));

/** Takes no new requests, lets those under way finish, then aborts them; what was stored stays, and a client may repeat. */
async function stop() {
  app.drain();
  const closed = new Promise((done) => server.close(done));
  // a connection that was in use just now would stay for the next request
  void app.settled().then(() => setImmediate(() => server.closeIdleConnections()));
  const timer = setTimeout(() => {
    app.abort();
    server.closeAllConnections();
  }, drain);
  await closed;
  clearTimeout(timer);
  await app.settled();
  await provider.close();
  console.log('stopped');
}
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => void stop());
