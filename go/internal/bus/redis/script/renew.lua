-- Makes an epoch where there is none, or where it is still the one given, and tells every
-- node. Returns the epoch in force.
-- KEYS: epoch, channels   ARGV: old ("" replaces none), new, lost ("1" or "")
local now = redis.call('GET', KEYS[1])
if now and now ~= ARGV[1] then
    return now
end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('XADD', KEYS[2], '*', 'epoch', ARGV[2], 'lost', ARGV[3])
return ARGV[2]
