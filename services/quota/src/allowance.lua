-- Grants requests of a sliding minute: an exact log of grants, so that no window ever holds more than the limit.
-- KEYS: 1 the log, a list of "<microseconds>:<requests>:<longer>", oldest first, each of which counts by as much longer;
--   2 the sum of the log; 3 what this Redis knows of itself, a hash: `run` its process, `began` since when it has forgotten
--   nothing, `offset` what its clock was set by.
-- ARGV: 1 limit, 2 most wanted, 3 fewest of use, 4 window in microseconds (a minute, a slice's life, and a slack),
--   5 requests let in uncounted, to be counted from now on, 6 whether the policy is closed (1 or 0),
--   7 what the time is at the least by the caller's reckoning (0 when it does not know), 8 how much later it may be,
--   9 by how much longer a slice may live that is granted far from the limit, 10 one that is granted farthest from it.
-- Answer: granted, left, microseconds until the fewest may be free (0 when something was granted), the time, by how much
--   the clock turned out to be set, whether nothing is granted because grants may be forgotten (1 or 0), by how much longer
--   what is granted may live.
-- One script, so that two replicas can never grant the same request.
local limit, want, least, window = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local spent, closed = tonumber(ARGV[5]), ARGV[6] == '1'
local earliest, slack = tonumber(ARGV[7]), tonumber(ARGV[8])
local far, farthest = tonumber(ARGV[9]), tonumber(ARGV[10])
-- Redis forgets keys by the same clock that may be set: they outlive a step of two hours.
local kept = 2 * 3600 * 1000
-- A tenant of a smaller limit cannot ask often.
local large = 500

local known = redis.call('HMGET', KEYS[3], 'began', 'run', 'offset')
local began, offset = tonumber(known[1] or ''), tonumber(known[3] or '0')
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2]) + offset
local stepped = 0
if earliest > 0 and (now > earliest + slack or now < earliest - slack) then
    stepped = now - earliest
    now = earliest
    redis.call('HSET', KEYS[3], 'offset', string.format('%.0f', offset - stepped))
end

local run = known[2]
if closed or not began or began > now then
    run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
end
-- Flushed, started anew, another machine in its place, or keys gone with a great step of the clock.
if not began or began > now or run ~= known[2] or math.abs(stepped) > kept * 1000 then
    began = now
    redis.call('HSET', KEYS[3], 'began', string.format('%.0f', began), 'run', run)
end

local function parse(entry)
    local at, requests, longer = string.match(entry, '^(%d+):(%d+):?(%d*)$')
    return tonumber(at), tonumber(requests), tonumber(longer) or 0
end

-- This tenant's time never runs backwards.
local reading = now
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

-- One that counts longer moves to where it would stand if it had been granted later, so that what stands behind it can go.
local function put_later(at, requests)
    local entry = string.format('%.0f:%d:0', at, requests)
    for _, other in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
        if parse(other) > at then
            redis.call('LINSERT', KEYS[1], 'BEFORE', other, entry)
            return
        end
    end
    redis.call('RPUSH', KEYS[1], entry)
end

while true do
    local oldest = redis.call('LINDEX', KEYS[1], 0)
    if not oldest then
        sum = 0
        break
    end
    local at, requests, longer = parse(oldest)
    if at > now - window then
        break
    end
    redis.call('LPOP', KEYS[1])
    if at + longer > now - window then
        put_later(at + longer, requests)
    else
        sum = sum - requests
    end
end

local function enter(requests, longer)
    redis.call('RPUSH', KEYS[1], string.format('%.0f:%d:%.0f', now, requests, longer))
    sum = sum + requests
end
if spent > 0 then
    enter(spent, 0)
end

local room = limit - sum
local granted, wait, uncertain, life = 0, 0, 0, 0
if closed and now - began < window then
    wait = began + window - now
    uncertain = 1
elseif room >= least then
    -- Near the limit slices shrink, so that one replica cannot sit on what another needs.
    granted = math.min(want, math.max(least, math.floor(room / 4)))
    -- Far from it they may last: what counts longer is missing for as long when the tenant calls more. Not where the store
    -- must know all that can still be spent.
    if not closed and limit >= large then
        local left = room - granted
        life = left * 100 >= limit * 99 and farthest or left * 50 >= limit * 49 and far or 0
    end
    enter(granted, life)
else
    local free, entries = room, {}
    wait = window
    for place, entry in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
        local at, requests, longer = parse(entry)
        entries[place] = {at + longer, requests}
    end
    table.sort(entries, function(one, other) return one[1] < other[1] end)
    for _, entry in ipairs(entries) do
        free = free + entry[2]
        if free >= least then
            wait = entry[1] + window - now
            break
        end
    end
end
redis.call('SET', KEYS[2], string.format('%.0f', sum), 'PX', kept)
redis.call('PEXPIRE', KEYS[1], kept)
return {granted, math.max(0, limit - sum), wait, reading, stepped, uncertain, life}
