-- Says that a channel is in use, if nobody has lately, and forgets those that are not.
-- KEYS: channels, used, floors, stream   ARGV: channel, horizon, tending (milliseconds)
-- Whoever follows it by a wildcard would read nothing more, where its key is no stream.
local kind = redis.call('TYPE', KEYS[4]).ok
if kind ~= 'stream' and kind ~= 'none' then
    return redis.error_reply('WRONGTYPE ' .. KEYS[4])
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local horizon, tending = tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('XTRIM', KEYS[1], 'MINID', '~', string.format('%.0f', now - horizon))
for _, channel in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - horizon, 'LIMIT', 0, 100)) do
    redis.call('ZREM', KEYS[2], channel)
    redis.call('HDEL', KEYS[3], channel)
end
local announced = redis.call('ZSCORE', KEYS[2], ARGV[1])
if not announced and kind == 'stream' then
    -- Somebody has written there without an announcement.
    redis.call('XADD', KEYS[1], '*', 'channel', ARGV[1], 'found', '1')
    redis.call('ZADD', KEYS[2], now, ARGV[1])
elseif not announced or now - announced > tending / 2 then
    local added = 0
    if announced then
        local info = redis.pcall('XINFO', 'STREAM', KEYS[4])
        for i = 1, #info, 2 do
            if info[i] == 'entries-added' then
                added = info[i + 1]
            end
        end
    end
    redis.call('XADD', KEYS[1], '*', 'channel', ARGV[1], 'added', added)
    redis.call('ZADD', KEYS[2], now, ARGV[1])
end
return 1
