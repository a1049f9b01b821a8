-- What a reader found becomes the entry, unless somebody knows better by now.
-- keys: entry, generation, index; arguments: entry, generation that the reader knew, ttl in ms, most entries, name, whether it
--   replaces a value of the same version and so lives on (1 or 0)
-- returns 1 kept, 0 outdated, 2 no room
local known = redis.call('GET', KEYS[2]) or ''
if known ~= ARGV[2] then return 0 end
local old = redis.call('GETRANGE', KEYS[1], 0, 24)
if #old == 25 then
    local state = string.sub(old, 1, 1)
    if state == 'd' then return 0 end
    -- An entry of another generation says nothing: whoever reads now began after it ended.
    if string.sub(old, 2, 17) == string.sub(ARGV[1], 2, 17) then
        local had, has = struct.unpack('>I8', string.sub(old, 18)), struct.unpack('>I8', string.sub(ARGV[1], 18))
        local replaces = state == 'f' or (state == 'v' and ARGV[6] == '1')
        if has < had or (has == had and not replaces) then return 0 end
    end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
if not redis.call('ZSCORE', KEYS[3], ARGV[5]) and redis.call('ZCARD', KEYS[3]) >= tonumber(ARGV[4]) then return 2 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
redis.call('ZADD', KEYS[3], now + ARGV[3], ARGV[5])
redis.call('PEXPIRE', KEYS[3], 2 * ARGV[3] + 1000)
return 1
