// The routes. Each conversation belongs to the user of the token: everything goes through provider.forUser(user).
import { randomUUID } from 'node:crypto';
import { stream } from 'jaf';
import { user as userMessage } from 'jaf/memory';
import { describeError, HttpError } from './errors.mjs';
import { PROMETHEUS, prometheusText } from './prometheus.mjs';

const agent = {
  name: 'assistant',
  instructions: () => 'You are a helpful assistant. Answer briefly.',
};
/** Conversations in a list, and messages of a conversation, unless asked for; and the most. */
const LIST = { usual: 20, most: 100 };
const MESSAGES = { usual: 50, most: 1000 };

function sendJson(response, status, body, headers = {}) {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers });
  response.end(`${JSON.stringify(body)}\n`);
}

function sendError(response, error) {
  const { status, ...body } = describeError(error);
  const headers = { ...(body.retryable ? { 'retry-after': '1' } : {}), ...(status === 401 ? { 'www-authenticate': 'Bearer' } : {}) };
  sendJson(response, status, { error: body }, headers);
}

/** A whole number of the query string. */
function numberOf(url, name, { usual, most }) {
  const text = url.searchParams.get(name);
  if (text === null) return usual;
  if (!/^\d{1,9}$/.test(text)) throw new HttpError(400, 'invalid', `${name} must be a whole number from 0 to ${most}.`);
  return Math.min(Number(text), most);
}

function idOf(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new HttpError(400, 'invalid', 'The conversation id is not URL-encoded.');
  }
}

/** The JSON body, read up to a limit of bytes. */
async function bodyOf(request, maxBody) {
  if (!/^application\/json\b/i.test(request.headers['content-type'] ?? ''))
    throw new HttpError(415, 'unsupported_media_type', 'Send application/json.');
  const chunks = [];
  let bytes = 0;
  // a request that is too large gets an answer too: Node reads the rest away, as long as `requestTimeout` lets it
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    bytes += chunk.length;
    if (bytes > maxBody) throw new HttpError(413, 'too_large', `The body may have ${maxBody} bytes.`);
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    throw new HttpError(400, 'invalid', 'The body is not JSON.');
  }
}

/** The name of a request that may be sent again: a header of its own, or what an EventSource sends when it reconnects. */
function keyOf({ headers }) {
  const key = headers['idempotency-key'] ?? headers['last-event-id'];
  if (key === undefined) return randomUUID();
  if (!/^[\w.:-]{1,200}$/.test(key))
    throw new HttpError(400, 'invalid', 'Idempotency-Key: 1 to 200 letters, digits or . _ : - are allowed.');
  return key;
}

/** What a client sees of a conversation. */
function shown({ conversationId, messageCount, version, createdAt, updatedAt, expiresAt, metadata }) {
  return { conversationId, messageCount, version, createdAt, updatedAt, ...(expiresAt ? { expiresAt } : {}), metadata };
}

/**
 * @param {{ provider: import('jaf/memory').MemoryProvider, events: ReadonlyMap<string, number>, model: import('jaf').ModelProvider,
 *   users: (authorization: string | undefined) => string | undefined, maxBody: number }} parts
 */
export function createApp({ provider, events, model, users, maxBody }) {
  const all = new AbortController();
  const running = new Set();
  let draining = false;

  /** Runs the agent on one new message and tells how it goes as server-sent events. */
  async function postMessage(request, response, store, owner, conversationId) {
    const runId = keyOf(request);
    const body = await bodyOf(request, maxBody);
    if (typeof body?.message !== 'string' || body.message === '')
      throw new HttpError(400, 'invalid', 'Send { "message": "…" } with a text that is not empty.');
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    const run = stream(
      { messages: [userMessage(body.message)], currentAgentName: agent.name, context: { userId: owner }, runId },
      {
        agentRegistry: { [agent.name]: agent },
        modelProvider: model,
        memory: { provider: store },
        conversationId,
        // nobody is there to read: the model need not go on. What was stored stays, and the same key goes on from there
        signal: AbortSignal.any([gone.signal, all.signal]),
      },
    );
    const tell = (event, data) => {
      if (response.destroyed) return;
      // once the message is stored the answer is 200; what fails before has a status of its own
      if (!response.headersSent)
        response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' });
      response.write(`event: ${event}\nid: ${runId}\ndata: ${JSON.stringify(data)}\n\n`);
    };
    for await (const event of run) {
      if (event.type === 'message_stored') tell('stored', { role: event.role, version: event.version, duplicate: event.duplicate });
      else if (event.type === 'text_delta') tell('delta', { text: event.textDelta });
      else if (event.type === 'tool_start' || event.type === 'tool_end') tell(event.type, { tool: event.tool });
    }
    const { outcome } = await run.result;
    if (outcome.status === 'completed') tell('done', { conversationId, output: outcome.output });
    else if (!response.headersSent) throw outcome.error;
    else {
      const { status: _status, ...problem } = describeError(outcome.error);
      tell('error', problem);
    }
    response.end();
  }

  async function route(request, response) {
    const url = new URL(request.url, 'http://localhost');
    const { method } = request;
    if (method === 'GET' && url.pathname === '/health') {
      const { healthy, provider: name, latencyMs } = await provider.healthCheck();
      return sendJson(response, healthy && !draining ? 200 : 503, { healthy, draining, provider: name, latencyMs });
    }
    if (method === 'GET' && url.pathname === '/metrics') {
      response.writeHead(200, { 'content-type': PROMETHEUS });
      return response.end(prometheusText(await provider.healthCheck(), events));
    }
    const owner = users(request.headers.authorization);
    if (owner === undefined) throw new HttpError(401, 'unauthorized', 'Send Authorization: Bearer with a token that is known.');
    const store = provider.forUser(owner);
    const [, first, id, last, ...more] = url.pathname.split('/');
    if (first !== 'conversations' || more.length > 0) throw new HttpError(404, 'no_route', 'There is no such address.');
    if (method === 'GET' && id === undefined) {
      const limit = numberOf(url, 'limit', LIST);
      const offset = numberOf(url, 'offset', { usual: 0, most: 1e9 });
      const found = await store.findConversations({ limit, offset, messageLimit: 0 });
      return sendJson(response, 200, { conversations: found.map(shown) });
    }
    const conversationId = idOf(id ?? '');
    if (method === 'POST' && last === 'messages') return await postMessage(request, response, store, owner, conversationId);
    if (last === undefined && method === 'GET') {
      const found = await store.getConversation(conversationId, { messageLimit: numberOf(url, 'limit', MESSAGES) });
      if (!found) throw new HttpError(404, 'not_found', 'There is no such conversation.');
      return sendJson(response, 200, { ...shown(found), messages: found.messages });
    }
    if (last === undefined && method === 'DELETE') {
      if (!(await store.deleteConversation(conversationId))) throw new HttpError(404, 'not_found', 'There is no such conversation.');
      return response.writeHead(204).end();
    }
    throw new HttpError(405, 'method', 'This address does not take that method.');
  }

  /** Never rejects. */
  async function handle(request, response) {
    const work = route(request, response).catch((error) => {
      const { status, code } = describeError(error);
      // no text: that of a store's or a model's error may hold what a log should not
      if (status >= 500) console.error(`${request.method} ${status} ${code} ${error instanceof Error ? error.name : typeof error}`);
      if (!response.headersSent && !response.destroyed) sendError(response, error);
      else response.destroy();
    });
    running.add(work);
    await work;
    running.delete(work);
  }

  return {
    handle,
    /** Tells load balancers to send nothing more. */
    drain: () => {
      draining = true;
    },
    /** Ends the runs that are under way. */
    abort: () => all.abort(),
    settled: () => Promise.all(running),
  };
}
