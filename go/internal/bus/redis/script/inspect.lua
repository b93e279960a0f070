-- Says how streams are, in one instant.
-- KEYS: floors, streams…   ARGV: of each stream its channel ("" if none), an id
-- Returns the time in milliseconds; of each stream 1 if there is one, its newest id, its
-- first entry's id ("0-0" if none), how many entries are gone, the greatest id of those deleted singly, 1 if
-- it has the entry of the id, the time after which nothing that is gone was written (-1 if unknown).
local time = redis.call('TIME')
local result = {time[1] * 1000 + math.floor(time[2] / 1000)}
for i = 2, #KEYS do
    local channel, id = ARGV[2 * i - 3], ARGV[2 * i - 2]
    local info = redis.pcall('XINFO', 'STREAM', KEYS[i])
    if info.err and not string.find(info.err, 'no such key', 1, true) then
        return redis.error_reply(info.err .. ' ' .. KEYS[i])
    end
    local found = {}
    if not info.err then
        for j = 1, #info, 2 do
            found[info[j]] = info[j + 1]
        end
    end
    local gone = (found['entries-added'] or 0) - (found['length'] or 0)
    local floor = -1
    if gone == 0 then
        floor = 0
    elseif channel ~= '' then
        local before, count = string.match(redis.call('HGET', KEYS[1], channel) or '', '^(%d+) (%d+)$')
        if before and tonumber(count) == gone then
            floor = tonumber(before)
        end
    end
    result[#result + 1] = info.err and 0 or 1
    result[#result + 1] = found['last-generated-id'] or '0-0'
    result[#result + 1] = found['first-entry'] and found['first-entry'][1] or '0-0'
    result[#result + 1] = gone
    result[#result + 1] = found['max-deleted-entry-id'] or '0-0'
    result[#result + 1] = (not info.err and id ~= '0-0' and #redis.call('XRANGE', KEYS[i], id, id) == 1) and 1 or 0
    result[#result + 1] = floor
end
return result
