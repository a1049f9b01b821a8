-- What a writer has committed becomes the entry; its value only where readers had asked for one.
-- keys: entry, generation, index; arguments: entry, ttl in ms, ttl of a bare version in ms, name
-- returns 1 when the value is there, 0 otherwise
local old = redis.call('GETRANGE', KEYS[1], 0, 24)
local asked = false
if #old == 25 then
    local state = string.sub(old, 1, 1)
    if state == 'd' then return 0 end
    local had, has = struct.unpack('>I8', string.sub(old, 18)), struct.unpack('>I8', string.sub(ARGV[1], 18))
    -- A bare version tells nothing of a row that is known in it.
    if had > has or (had == has and string.sub(ARGV[1], 1, 1) == 'f') then return 0 end
    asked = state == 'v' or state == 'a'
end
local known = redis.call('GET', KEYS[2]) or ''
local generation = #known >= 16 and string.sub(known, 1, 16) or string.rep('\0', 16)
local state = string.sub(ARGV[1], 1, 1)
if asked and redis.call('ZSCORE', KEYS[3], ARGV[4]) then
    local ttl, time = math.max(ARGV[2], ARGV[3]), redis.call('TIME')
    redis.call('SET', KEYS[1], state .. generation .. string.sub(ARGV[1], 18), 'PX', ttl)
    redis.call('ZADD', KEYS[3], time[1] * 1000 + math.floor(time[2] / 1000) + ttl, ARGV[4])
    redis.call('PEXPIRE', KEYS[3], 2 * ttl)
    return 1
end
redis.call('SET', KEYS[1], 'f' .. generation .. string.sub(ARGV[1], 18, 41), 'PX', ARGV[3])
return 0
