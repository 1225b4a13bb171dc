-- An operator has decided what holds: what the caller brings, or what is here.
-- KEYS: meta, fingerprints, changes
-- ARGV: the head that the caller saw, the next head, the name that the caller knows the store by, the next id, the revision, 'replace' or 'keep',
--       then pairs of id and record
local meta = redis.call('HMGET', KEYS[1], 'head', 'store')
if (meta[1] or '') ~= ARGV[1] then return {'stale'} end
-- Whoever knows either store follows the decision; for anybody else this is another store.
redis.call('HSET', KEYS[1], 'store', ARGV[3], 'over', meta[2] or '', 'revision', ARGV[5], 'head', ARGV[2], 'next', ARGV[4],
    'decided', ARGV[5])
redis.call('DEL', KEYS[3])
if ARGV[6] == 'replace' then redis.call('DEL', KEYS[2]) end
for at = 7, #ARGV, 1000 do
    redis.call('HSET', KEYS[2], unpack(ARGV, at, math.min(at + 999, #ARGV)))
end
redis.call('HSET', KEYS[1], 'count', redis.call('HLEN', KEYS[2]))
-- Followers that knew less than this decision load everything anew.
redis.call('XADD', KEYS[3], ARGV[5] .. '-0', 'prev', '', 'head', ARGV[2], 'from', '0', 'to', '0', 'gone', '')
return {'done', ARGV[3], ARGV[5]}
