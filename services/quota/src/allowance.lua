-- Grants requests of a sliding minute: an exact log of grants, so that no window ever holds more than the limit.
-- KEYS: 1 the log, a list of "<microseconds>:<requests>", oldest first; 2 the sum of the log.
-- ARGV: 1 limit, 2 most wanted, 3 fewest of use, 4 window in microseconds (a minute and a slice's life).
-- Answer: granted, left, microseconds until the fewest may be free (0 when something was granted).
-- One script, so that two replicas can never grant the same request; the clock is Redis' own and, after a failover to
-- a machine whose clock is behind, that of the last entry.
local limit, want, least, window = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local function parse(entry)
    local at, requests = string.match(entry, '^(%d+):(%d+)$')
    return tonumber(at), tonumber(requests)
end

local newest = redis.call('LINDEX', KEYS[1], -1)
if newest then
    now = math.max(now, (parse(newest)))
end

local sum = tonumber(redis.call('GET', KEYS[2]))
if not sum then
    sum = 0
    for _, entry in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
        local _, requests = parse(entry)
        sum = sum + requests
    end
end

while true do
    local oldest = redis.call('LINDEX', KEYS[1], 0)
    if not oldest then
        sum = 0
        break
    end
    local at, requests = parse(oldest)
    if at > now - window then
        break
    end
    redis.call('LPOP', KEYS[1])
    sum = sum - requests
end

local room = limit - sum
local granted, wait = 0, 0
if room >= least then
    -- Near the limit slices shrink, so that one replica cannot sit on what another needs.
    granted = math.min(want, math.max(least, math.floor(room / 4)))
    redis.call('RPUSH', KEYS[1], string.format('%.0f:%d', now, granted))
    sum = sum + granted
else
    local free = room
    wait = window
    for _, entry in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
        local at, requests = parse(entry)
        free = free + requests
        if free >= least then
            wait = at + window - now
            break
        end
    end
end
local ttl = math.ceil(window / 1000)
redis.call('SET', KEYS[2], string.format('%.0f', sum), 'PX', ttl)
redis.call('PEXPIRE', KEYS[1], ttl)
return {granted, math.max(0, limit - sum), wait}
