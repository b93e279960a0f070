-- Accepts events together or not at all.
-- KEYS: of each event its stream, and where its chosen id is noted (its stream again where
--       it has none)
-- ARGV: milliseconds for which chosen ids are noted, "1" if this is another attempt; of each
--       event its channel, its JSON, and the id of its entry where that was found ("" otherwise)
-- Returns of each event its id, its channel, and 1 if it had been accepted before, 2 if that
-- was by an earlier attempt.
local events = #KEYS / 2
local looked = {}
local function look(key, wanted)
    if not looked[key] then
        local kind = redis.call('TYPE', key).ok
        if kind ~= wanted and kind ~= 'none' then
            return redis.error_reply('WRONGTYPE ' .. key)
        end
        looked[key] = true
    end
end
for i = 1, events do
    local stream, noted = KEYS[2 * i - 1], KEYS[2 * i]
    local wrong = look(stream, 'stream') or noted ~= stream and look(noted, 'string')
    if wrong then
        return wrong
    end
end

local result = {}
for i = 1, events do
    local stream, noted = KEYS[2 * i - 1], KEYS[2 * i]
    local channel, data, there = ARGV[3 * i], ARGV[3 * i + 1], ARGV[3 * i + 2]
    local id, repeated = nil, 0
    local notes = noted ~= stream
    if notes then
        local found = redis.call('GET', noted)
        local before, on = string.match(found or '', '^(%d+%-%d+) (.+)$')
        if before then
            notes = false
            id, channel, repeated = before, on, 1
            local entry = ARGV[2] ~= '' and redis.call('XRANGE', stream, id, id)[1]
            if entry and entry[2][2] == data then
                repeated = 2
            end
        end
    end
    if not id and there ~= '' then
        id, repeated = there, 2
    end
    if not id then
        id = redis.call('XADD', stream, '*', 'data', data)
    end
    if notes then
        redis.call('SET', noted, id .. ' ' .. channel, 'PX', ARGV[1])
    end
    result[#result + 1] = id
    result[#result + 1] = channel
    result[#result + 1] = repeated
end
return result
