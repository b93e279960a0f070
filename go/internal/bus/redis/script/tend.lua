-- Looks after the stream of a channel that is written to: trims it, notes what is gone, and
-- lets it expire some time after its last event.
-- KEYS: floors, stream
-- ARGV: channel, retention, horizon (milliseconds), most events (0: any number)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local retention, horizon = tonumber(ARGV[2]), tonumber(ARGV[3])

local function look()
    local info = redis.call('XINFO', 'STREAM', KEYS[2])
    local found = {}
    for i = 1, #info, 2 do
        found[info[i]] = info[i + 1]
    end
    local first = found['first-entry'] and found['first-entry'][1] or found['last-generated-id']
    return found['entries-added'] - found['length'], tonumber(string.match(first, '^%d+'))
end

if redis.call('EXISTS', KEYS[2]) == 0 then
    return 0
end
-- A floor is the time after which nothing was written that is gone, and how many are gone.
-- Where another number is gone, somebody else has trimmed.
local gone, first = look()
local noted = redis.call('HGET', KEYS[1], ARGV[1])
local floor, count = string.match(noted or '0 0', '^(%d+) (%d+)$')
floor, count = tonumber(floor), tonumber(count)
if gone ~= count then
    floor = first
end
redis.call('XTRIM', KEYS[2], 'MINID', '~', string.format('%.0f', now - retention))
local left = look()
if left ~= gone then
    floor = math.max(floor, now - retention)
end
if ARGV[4] ~= '0' then
    redis.call('XTRIM', KEYS[2], 'MAXLEN', '~', ARGV[4])
end
gone, first = look()
if gone ~= left then
    floor = math.max(floor, first)
end
if gone ~= 0 then
    redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %.0f', floor, gone))
elseif noted then
    redis.call('HDEL', KEYS[1], ARGV[1])
end
redis.call('PEXPIRE', KEYS[2], string.format('%.0f', horizon))
return 1
