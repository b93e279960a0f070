-- Accepts events together or not at all.
-- KEYS: of each event its stream   ARGV: of each event its JSON
-- Returns of each event its id.
local prefix = #'fraiseql:events:' + 1
local channels = {}
for _, stream in ipairs(KEYS) do
    if not channels[stream] then
        local kind = redis.call('TYPE', stream).ok
        if kind ~= 'stream' and kind ~= 'none' then
            return redis.error_reply('WRONGTYPE ' .. stream)
        end
        channels[stream] = string.sub(stream, prefix)
    end
end
local call, pcall, ids = redis.call, redis.pcall, {}
for i, stream in ipairs(KEYS) do
    ids[i] = call('XADD', stream, '*', 'data', ARGV[i])
    pcall('PUBLISH', channels[stream], ARGV[i])
end
return ids
