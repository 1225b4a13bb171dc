-- One change, whole or not at all, if the store is still where the writer saw it.
-- KEYS: meta, fingerprints, changes, lock, rows, then the parts of rows that were sent before
-- ARGV: the head that the writer saw, the next head, the store's name if it is new, the next id, the writer's lock token,
--       the first of the new ids, the most changes kept, how many ids go, these ids, the generation of phrases, what stands for the word key,
--       the fields of changed rows as JSON, how many, then pairs of field and version (none for one that goes), then pairs of id and record
local held = redis.call('GET', KEYS[4])
if held and held ~= ARGV[5] then return {'busy'} end
local meta = redis.call('HMGET', KEYS[1], 'head', 'revision', 'store', 'words')
if (meta[1] or '') ~= ARGV[1] then return {'stale'} end
local gone = {}
local first = 9 + tonumber(ARGV[8])
for at = 9, first - 1 do gone[#gone + 1] = ARGV[at] end
local generation, words, fields, count = ARGV[first], ARGV[first + 1], ARGV[first + 2], tonumber(ARGV[first + 3])
if meta[4] and meta[4] ~= words then return {'foreign'} end
for at = 6, #KEYS do
    if redis.call('EXISTS', KEYS[at]) == 0 then return {'lost'} end
end
local revision = string.format('%.0f', (tonumber(meta[2]) or 0) + 1)
-- The first write is the one that a full or read-only Redis refuses: then nothing has been written.
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[7], revision .. '-0', 'prev', ARGV[1], 'head', ARGV[2],
    'from', ARGV[6], 'to', ARGV[4], 'gone', table.concat(gone, ','), 'rows', fields, 'generation', generation)
for at = 1, #gone, 1000 do
    redis.call('HDEL', KEYS[2], unpack(gone, at, math.min(at + 999, #gone)))
end
for at = 6, #KEYS do redis.call('PERSIST', KEYS[at]) end
local prefix = string.sub(KEYS[5], 1, -5)
local from = first + 4
for at = from, from + 2 * count - 1, 2 do
    local old = redis.call('HGET', KEYS[5], ARGV[at])
    if old then
        -- Whoever is reading it may finish.
        local version, parts = string.match(old, '^(%x+):(%d+)$')
        for part = 1, tonumber(parts or 0) do redis.call('EXPIRE', prefix .. 'row:' .. version .. ':' .. part, 60) end
    end
    if ARGV[at + 1] == '' then
        redis.call('HDEL', KEYS[5], ARGV[at])
    else
        redis.call('HSET', KEYS[5], ARGV[at], ARGV[at + 1])
    end
end
for at = from + 2 * count, #ARGV, 1000 do
    redis.call('HSET', KEYS[2], unpack(ARGV, at, math.min(at + 999, #ARGV)))
end
redis.call('HSET', KEYS[1], 'store', meta[3] or ARGV[3], 'revision', revision, 'head', ARGV[2], 'next', ARGV[4],
    'count', redis.call('HLEN', KEYS[2]), 'rows', redis.call('HLEN', KEYS[5]), 'generation', generation, 'words', words)
if held then redis.call('DEL', KEYS[4]) end
return {'done', meta[3] or ARGV[3], revision}
