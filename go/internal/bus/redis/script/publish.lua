-- Accepts events together or not at all.
-- KEYS: of each event its stream, and where its chosen id is noted (its stream again where
--       it has none)
-- ARGV: milliseconds for which chosen ids are noted; of each event its channel, its JSON,
--       the beginning of that which holds its id, and the id after which an earlier attempt
--       may have written it ("" if there was none)
-- Returns of each event its id, its channel, and 1 if it had been accepted before, 2 if that
-- was by the earlier attempt.
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

-- The entry that an earlier attempt wrote.
local function earlier(stream, head, after)
    local from = '(' .. after
    while true do
        local page = redis.call('XRANGE', stream, from, '+', 'COUNT', 500)
        for _, entry in ipairs(page) do
            for field = 1, #entry[2], 2 do
                if entry[2][field] == 'data' and string.sub(entry[2][field + 1], 1, #head) == head then
                    return entry[1]
                end
            end
        end
        if #page < 500 then
            return nil
        end
        from = '(' .. page[#page][1]
    end
end

local result = {}
for i = 1, events do
    local stream, noted = KEYS[2 * i - 1], KEYS[2 * i]
    local channel, data, head, after = ARGV[4 * i - 2], ARGV[4 * i - 1], ARGV[4 * i], ARGV[4 * i + 1]
    local id, repeated = nil, 0
    local notes = noted ~= stream
    if notes then
        local found = redis.call('GET', noted)
        local before, on = string.match(found or '', '^(%d+%-%d+) (.+)$')
        if before then
            notes = false
            id, channel, repeated = before, on, 1
            local entry = after ~= '' and redis.call('XRANGE', stream, id, id)[1]
            if entry and entry[2][2] == data then
                repeated = 2
            end
        end
    end
    if not id and after ~= '' then
        id = earlier(stream, head, after)
        repeated = id and 2 or 0
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
