/**
 * The three shapes of a table of documents, told apart by their columns, and what statements need to know of them.
 *
 * @module
 */
import { LOCAL_TIME, ZONED_TIME } from '../../older.js';
import type { Variant } from './statements.js';

/** `document`: the one of the document; `typescript` and `python`: those of the two earlier implementations. */
export type Shape = 'document' | 'typescript' | 'python';

/**
 * The shape of a table.
 *
 * @param columns - their names
 * @returns undefined for a table that is none of them
 */
export function shapeOf(columns: readonly string[]): Shape | undefined {
  const has = (...names: string[]): boolean => names.every((name) => columns.includes(name));
  if (!has('conversation_id', 'user_id', 'messages', 'metadata')) return undefined;
  if (has('last_activity', 'created_at', 'updated_at')) return 'typescript';
  if (has('id', 'created_at', 'updated_at')) return 'document';
  return has('created_at') || has('id') ? undefined : 'python';
}

/** Milliseconds of a column. */
function milliseconds(column: string): string {
  return `round(extract(epoch FROM ${column}) * 1000)::bigint`;
}

/** Milliseconds of an ISO text in the metadata: without an offset it is the local time of the program that wrote it. */
function textTime(...keys: readonly string[]): string {
  const zone = new Intl.DateTimeFormat().resolvedOptions().timeZone.replaceAll("'", '');
  const texts = keys.map((key) => `c.metadata ->> '${key}'`).join(', ');
  return `(SELECT CASE WHEN y.text ~ '${LOCAL_TIME}' THEN ${milliseconds(`y.text::timestamp AT TIME ZONE '${zone}'`)} WHEN y.text ~ '${ZONED_TIME}' THEN ${milliseconds('y.text::timestamptz')} END FROM (SELECT coalesce(${texts}) AS text) y)`;
}

/** A time in milliseconds as PostgreSQL can hold it: its calendar begins 4714 BC. */
function timeOf(field: string): string {
  return `timestamptz 'epoch' + greatest(i.${field}, -210000000000000) * interval '1 millisecond'`;
}

/** What statements of sql/document.sql are made for. */
export function shapeVariant(shape: Shape): Variant {
  const columns =
    shape === 'python'
      ? []
      : [
          ['created_at', timeOf('created')],
          ['updated_at', timeOf('updated')],
          ...(shape === 'typescript' ? [['last_activity', timeOf('updated')]] : []),
        ];
  return {
    createdColumn: shape === 'python' ? textTime('created_at', 'createdAt') : milliseconds('c.created_at'),
    updatedColumn:
      shape === 'python'
        ? textTime('updated_at', 'updatedAt')
        : milliseconds(
            shape === 'typescript'
              ? 'coalesce(greatest(c.updated_at, c.last_activity), c.created_at)'
              : 'coalesce(c.updated_at, c.created_at)',
          ),
    setTimes: columns.map(([name, value]) => `, ${name} = ${value}`).join(''),
    timeColumns: columns.map(([name]) => `, ${name}`).join(''),
    timeValues: columns.map(([, value]) => `, ${value}`).join(''),
  };
}
