-- One change, whole or not at all, if the store is still where the writer saw it.
-- KEYS: meta, fingerprints, changes, lock
-- ARGV: the head that the writer saw, the next head, the store's name if it is new, the next id, the writer's lock token,
--       the first of the new ids, the most changes kept, how many ids go, these ids, then pairs of id and record
local held = redis.call('GET', KEYS[4])
if held and held ~= ARGV[5] then return {'busy'} end
local meta = redis.call('HMGET', KEYS[1], 'head', 'revision', 'store')
if (meta[1] or '') ~= ARGV[1] then return {'stale'} end
local revision = string.format('%.0f', (tonumber(meta[2]) or 0) + 1)
local gone = {}
local first = 9 + tonumber(ARGV[8])
for at = 9, first - 1 do gone[#gone + 1] = ARGV[at] end
-- The first write is the one that a full or read-only Redis refuses: then nothing has been written.
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[7], revision .. '-0', 'prev', ARGV[1], 'head', ARGV[2],
    'from', ARGV[6], 'to', ARGV[4], 'gone', table.concat(gone, ','))
for at = 1, #gone, 1000 do
    redis.call('HDEL', KEYS[2], unpack(gone, at, math.min(at + 999, #gone)))
end
for at = first, #ARGV, 1000 do
    redis.call('HSET', KEYS[2], unpack(ARGV, at, math.min(at + 999, #ARGV)))
end
redis.call('HSET', KEYS[1], 'store', meta[3] or ARGV[3], 'revision', revision, 'head', ARGV[2], 'next', ARGV[4],
    'count', redis.call('HLEN', KEYS[2]))
if held then redis.call('DEL', KEYS[4]) end
return {'done', meta[3] or ARGV[3], revision}
