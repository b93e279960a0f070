-- Announces channels that were written to without an announcement.
-- KEYS: channels, used   ARGV: channels…
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local count = 0
for _, channel in ipairs(ARGV) do
    if not redis.call('ZSCORE', KEYS[2], channel) then
        redis.call('XADD', KEYS[1], '*', 'channel', channel, 'found', '1')
        redis.call('ZADD', KEYS[2], now, channel)
        count = count + 1
    end
end
return count
