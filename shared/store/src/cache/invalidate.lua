-- Drops a page of the entries whose name matches.
-- keys: index; arguments: cursor, pattern, prefix of entries; returns the next cursor, and how many were dropped
local page = redis.call('ZSCAN', KEYS[1], ARGV[1], 'MATCH', ARGV[2], 'COUNT', 500)
local dropped = 0
for place = 1, #page[2], 2 do
    local name = page[2][place]
    -- A bare version or a doubt is no value: it stays and keeps old values out.
    local state = redis.call('GETRANGE', ARGV[3] .. name, 0, 0)
    if state == 'v' or state == 'a' then
        redis.call('UNLINK', ARGV[3] .. name)
        dropped = dropped + 1
    end
    redis.call('ZREM', KEYS[1], name)
end
return { page[1], dropped }
