-- Shuts out what readers have begun to read; with the second argument `all`, what is kept already as well.
-- keys: generation; arguments: 16 new bytes, `all` or `some`, ttl in ms
local known = redis.call('GET', KEYS[1]) or ''
local generation = #known >= 16 and string.sub(known, 1, 16) or string.rep('\0', 16)
if ARGV[2] == 'all' then generation = ARGV[1] end
redis.call('SET', KEYS[1], generation .. ARGV[1], 'PX', ARGV[3])
return 1
