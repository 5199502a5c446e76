-- What lib-append.lua needs of the others, before they are made: the header (lib-header.lua), and an operation in the hash o:
-- number, version, count, created, and the digest behind them.
local HEADER, ABSENT, NOTED = '<ddddddddddddddddI4I4BBB', math.huge, '<dddB'
-- The newest operations of a conversation that are kept (OPERATIONS_KEPT of driver.ts).
local OPERATIONS = 64
-- Milliseconds the native expiry stays behind the header's, at most, and half of them at least: it is a backstop for stores
-- nobody sweeps.
local BACKSTOP = 86400000
-- Milliseconds a tombstone is kept (TOMBSTONE_MS of driver.ts).
local TOMBSTONE = 600000
-- Bodies and segments dropped at once by a trim; the others are left to the next trims and to a reap.
local TRIM = 512
