-- An operator has decided what holds: what the caller brings, or what is here.
-- KEYS: meta, fingerprints, changes, rows, then the parts of rows that were sent before
-- ARGV: the head that the caller saw, the next head, the name that the caller knows the store by, the next id, the revision, 'replace' or 'keep',
--       the generation of phrases, what stands for the word key, how many rows, pairs of field and version, then pairs of id and record
local meta = redis.call('HMGET', KEYS[1], 'head', 'store', 'words')
if (meta[1] or '') ~= ARGV[1] then return {'stale'} end
if ARGV[6] == 'keep' and meta[3] and meta[3] ~= ARGV[8] then return {'foreign'} end
for at = 5, #KEYS do
    if redis.call('EXISTS', KEYS[at]) == 0 then return {'lost'} end
end
-- Whoever knows either store follows the decision; for anybody else this is another store.
redis.call('HSET', KEYS[1], 'store', ARGV[3], 'over', meta[2] or '', 'revision', ARGV[5], 'head', ARGV[2], 'next', ARGV[4],
    'decided', ARGV[5], 'generation', ARGV[7], 'words', ARGV[8])
redis.call('DEL', KEYS[3])
local prefix = string.sub(KEYS[4], 1, -5)
if ARGV[6] == 'replace' then
    redis.call('DEL', KEYS[2])
    for _, old in ipairs(redis.call('HVALS', KEYS[4])) do
        local version, parts = string.match(old, '^(%x+):(%d+)$')
        for part = 1, tonumber(parts or 0) do redis.call('EXPIRE', prefix .. 'row:' .. version .. ':' .. part, 60) end
    end
    redis.call('DEL', KEYS[4])
end
for at = 5, #KEYS do redis.call('PERSIST', KEYS[at]) end
local last = 9 + 2 * tonumber(ARGV[9])
for at = 10, last, 2 do redis.call('HSET', KEYS[4], ARGV[at], ARGV[at + 1]) end
for at = last + 1, #ARGV, 1000 do
    redis.call('HSET', KEYS[2], unpack(ARGV, at, math.min(at + 999, #ARGV)))
end
redis.call('HSET', KEYS[1], 'count', redis.call('HLEN', KEYS[2]), 'rows', redis.call('HLEN', KEYS[4]))
-- Followers that knew less than this decision load everything anew.
redis.call('XADD', KEYS[3], ARGV[5] .. '-0', 'prev', '', 'head', ARGV[2], 'from', '0', 'to', '0', 'gone', '', 'rows', '[]',
    'generation', ARGV[7])
return {'done', ARGV[3], ARGV[5]}
