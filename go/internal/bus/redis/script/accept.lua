-- Accepts events together or not at all.
-- KEYS: of each event its stream   ARGV: of each event its JSON
-- Returns of each event its id.
local looked = {}
for _, stream in ipairs(KEYS) do
    if not looked[stream] then
        local kind = redis.call('TYPE', stream).ok
        if kind ~= 'stream' and kind ~= 'none' then
            return redis.error_reply('WRONGTYPE ' .. stream)
        end
        looked[stream] = true
    end
end
local call, ids = redis.call, {}
for i, stream in ipairs(KEYS) do
    ids[i] = call('XADD', stream, '*', 'data', ARGV[i])
end
return ids
