-- Walks give headers behind a place (?1, ?2) up to a time (?3), at most ?4; those of one owner (?5). The index
-- is named: another plan would sort the whole store for one page.

-- name: updatedAsc
SELECT {header} FROM conversations INDEXED BY conversations_updated
WHERE removed_at IS NULL AND (updated_at, id) > (?1, ?2) AND updated_at <= ?3 ORDER BY updated_at, id LIMIT ?4;

-- name: updatedDesc
SELECT {header} FROM conversations INDEXED BY conversations_updated
WHERE removed_at IS NULL AND (updated_at, id) < (?1, ?2) AND updated_at >= ?3 ORDER BY updated_at DESC, id DESC LIMIT ?4;

-- name: createdAsc
SELECT {header} FROM conversations INDEXED BY conversations_created
WHERE removed_at IS NULL AND (created_at, id) > (?1, ?2) AND created_at <= ?3 ORDER BY created_at, id LIMIT ?4;

-- name: createdDesc
SELECT {header} FROM conversations INDEXED BY conversations_created
WHERE removed_at IS NULL AND (created_at, id) < (?1, ?2) AND created_at >= ?3 ORDER BY created_at DESC, id DESC LIMIT ?4;

-- name: ownerUpdatedAsc
SELECT {header} FROM conversations INDEXED BY conversations_owner_updated
WHERE owner = ?5 AND removed_at IS NULL AND (updated_at, id) > (?1, ?2) AND updated_at <= ?3 ORDER BY updated_at, id LIMIT ?4;

-- name: ownerUpdatedDesc
SELECT {header} FROM conversations INDEXED BY conversations_owner_updated
WHERE owner = ?5 AND removed_at IS NULL AND (updated_at, id) < (?1, ?2) AND updated_at >= ?3 ORDER BY updated_at DESC, id DESC LIMIT ?4;

-- name: ownerCreatedAsc
SELECT {header} FROM conversations INDEXED BY conversations_owner_created
WHERE owner = ?5 AND removed_at IS NULL AND (created_at, id) > (?1, ?2) AND created_at <= ?3 ORDER BY created_at, id LIMIT ?4;

-- name: ownerCreatedDesc
SELECT {header} FROM conversations INDEXED BY conversations_owner_created
WHERE owner = ?5 AND removed_at IS NULL AND (created_at, id) < (?1, ?2) AND created_at >= ?3 ORDER BY created_at DESC, id DESC LIMIT ?4;

-- name: totals
SELECT created_at AS at, id, expires_at, next - first AS messages, bytes FROM conversations INDEXED BY conversations_created
WHERE removed_at IS NULL AND (created_at, id) > (?1, ?2) ORDER BY created_at, id LIMIT ?3;

-- name: ownerTotals
SELECT created_at AS at, id, expires_at, next - first AS messages, bytes FROM conversations INDEXED BY conversations_owner_created
WHERE owner = ?4 AND removed_at IS NULL AND (created_at, id) > (?1, ?2) ORDER BY created_at, id LIMIT ?3;

-- name: expired
SELECT key FROM conversations INDEXED BY conversations_expires
WHERE expires_at IS NOT NULL AND removed_at IS NULL AND expires_at <= ?1 ORDER BY expires_at LIMIT ?2;

-- name: ownerExpired
SELECT key FROM conversations INDEXED BY conversations_expires
WHERE expires_at IS NOT NULL AND removed_at IS NULL AND expires_at <= ?1 AND owner = ?3 ORDER BY expires_at LIMIT ?2;
