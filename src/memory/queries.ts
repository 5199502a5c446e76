/**
 * Checks of what reads are asked for.
 *
 * @module
 */
import type { CallContext } from './retry.js';
import { kindOf, Problems } from './problems.js';
import { checkDate, checkId, checkInteger, checkMetadata, checkOptionNames, checkSignal } from './validate.js';

const QUERY_NAMES: ReadonlySet<string> = new Set([
  'conversationId',
  'userId',
  'traceId',
  'since',
  'until',
  'metadata',
  'limit',
  'offset',
  'order',
  'messageLimit',
  'signal',
]);
const READ_NAMES: ReadonlySet<string> = new Set(['messageLimit', 'signal']);
const RANGE_NAMES: ReadonlySet<string> = new Set(['after', 'before', 'limit', 'signal']);
const RECENT_NAMES: ReadonlySet<string> = new Set(['signal']);

/** Checks a query. @throws MemoryValidationError */
export function checkQuery(call: CallContext, query: unknown): void {
  const problems = new Problems();
  if (checkOptionNames(query, QUERY_NAMES, problems)) {
    for (const field of ['conversationId', 'userId', 'traceId'] as const)
      if (query[field] !== undefined) checkId(`query.${field}`, query[field], problems);
    for (const field of ['since', 'until'] as const) if (query[field] !== undefined) checkDate(`query.${field}`, query[field], problems);
    for (const field of ['limit', 'offset', 'messageLimit'] as const) {
      if (query[field] !== undefined) checkInteger(`query.${field}`, query[field], 0, problems);
    }
    checkMetadata(query['metadata'], problems, false);
    const order = query['order'];
    if (order !== undefined && order !== 'newest' && order !== 'oldest')
      problems.add('query.order', `expected newest or oldest, got ${kindOf(order)}`);
    checkSignal('query.signal', query['signal'], problems);
  }
  problems.throwIfAny(call);
}

/** Checks the options of `getConversation`. @throws MemoryValidationError */
export function checkReadOptions(call: CallContext, conversationId: unknown, options: unknown): void {
  const problems = new Problems();
  checkId('conversationId', conversationId, problems);
  if (checkOptionNames(options, READ_NAMES, problems)) {
    if (options['messageLimit'] !== undefined) checkInteger('options.messageLimit', options['messageLimit'], 0, problems);
    checkSignal('options.signal', options['signal'], problems);
  }
  problems.throwIfAny(call);
}

/** Checks the range of `getMessages`, or limit and options of `getRecentMessages`. @throws MemoryValidationError */
export function checkRange(call: CallContext, conversationId: unknown, range: unknown, options?: unknown): void {
  const problems = new Problems();
  checkId('conversationId', conversationId, problems);
  if (checkOptionNames(range, RANGE_NAMES, problems)) {
    for (const field of ['after', 'before', 'limit'] as const)
      if (range[field] !== undefined) checkInteger(field, range[field], 0, problems);
    checkSignal('signal', range['signal'], problems);
  }
  if (checkOptionNames(options, RECENT_NAMES, problems)) checkSignal('options.signal', options['signal'], problems);
  problems.throwIfAny(call);
}
