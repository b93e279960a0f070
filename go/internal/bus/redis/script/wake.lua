-- Writes a wake-up of a node, with the newest ids that channels have in that instant.
-- KEYS: epoch, wake, channels, streams…
-- ARGV: number, seconds that the wake stream lives, newest wake-up read, "1" to go without
--       the wake-up where memory is short, names of the streams' channels…
-- Returns the epoch ("" if none), the wake-up's id (or "0-0"), the channels' newest id, the
-- time in milliseconds.
local function newest(key)
    local info = redis.pcall('XINFO', 'STREAM', key)
    if info.err then
        if string.find(info.err, 'no such key', 1, true) then
            return '0-0', '0', 0
        end
        return nil, info
    end
    local found = {}
    for i = 1, #info, 2 do
        found[info[i]] = info[i + 1]
    end
    local id, last = found['last-generated-id'], found['last-entry']
    return id, (last and last[1] == id) and '1' or '0', found['entries-added']
end
local lines = {}
for i = 4, #KEYS do
    local id, exists, added = newest(KEYS[i])
    if not id then
        return redis.error_reply(exists.err .. ' ' .. KEYS[i])
    end
    lines[#lines + 1] = id .. ' ' .. exists .. ' ' .. added .. ' ' .. ARGV[i + 1] .. '\n'
end
local announced, problem = newest(KEYS[3])
if not announced then
    return redis.error_reply(problem.err .. ' ' .. KEYS[3])
end
local id = redis.pcall('XADD', KEYS[2], 'MINID', ARGV[3], '*', 'wake', ARGV[1], 'follow', table.concat(lines))
if type(id) == 'table' and id.err then
    if ARGV[4] ~= '1' or string.sub(id.err, 1, 3) ~= 'OOM' then
        return id
    end
    id = '0-0'
else
    redis.call('EXPIRE', KEYS[2], ARGV[2])
end
local time = redis.call('TIME')
return {redis.call('GET', KEYS[1]) or '', id, announced, time[1] * 1000 + math.floor(time[2] / 1000)}
