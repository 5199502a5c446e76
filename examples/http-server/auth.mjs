// Who calls: a bearer token stands for a user.
import { createHash, timingSafeEqual } from 'node:crypto';

const digest = (text) => createHash('sha256').update(text).digest();

/**
 * Reads `token=user,token=user`. Tokens are kept as digests.
 *
 * @param {string | undefined} text
 * @returns {(authorization: string | undefined) => string | undefined} the user of an Authorization header
 */
export function usersByToken(text) {
  const entries = (text ?? '').split(',').filter(Boolean);
  if (entries.length === 0) throw new Error('JAF_HTTP_TOKENS is missing: give token=user, or several separated by commas');
  const known = entries.map((entry) => {
    const cut = entry.indexOf('=');
    if (cut < 16 || cut === entry.length - 1) throw new Error('JAF_HTTP_TOKENS: expected token=user with a token of 16 characters or more');
    return { digest: digest(entry.slice(0, cut)), user: entry.slice(cut + 1) };
  });
  return (authorization) => {
    const [, token] = /^Bearer ([^\s]+)$/i.exec(authorization ?? '') ?? [];
    const given = digest(token ?? '');
    let found;
    // every one is compared, and digests take the same time whatever they hold
    for (const { digest: expected, user } of known) if (timingSafeEqual(given, expected)) found = user;
    return token === undefined ? undefined : found;
  };
}
