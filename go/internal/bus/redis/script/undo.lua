-- Takes back what a transaction has added to streams, as if it had never been there: neither those
-- who count a stream's entries nor those who ask for deleted ones are to find anything.
-- KEYS: what should be streams
-- ARGV: this script; of each key how many events were added, and the beginning of the first
-- Returns 1.
local function info(stream)
    local found, told = {}, redis.call('XINFO', 'STREAM', stream)
    for i = 1, #told, 2 do
        found[told[i]] = told[i + 1]
    end
    return found
end

for i, stream in ipairs(KEYS) do
    local count, first = tonumber(ARGV[2 * i]), ARGV[2 * i + 1]
    local added = {}
    if redis.call('TYPE', stream).ok == 'stream' then
        added = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', count)
    end
    -- Nothing else was written since, or it was no transaction: then nothing is to be taken back.
    if #added == count and string.sub(added[count][2][2], 1, #first) == first then
        local before = info(stream)
        for _, entry in ipairs(added) do
            redis.call('XDEL', stream, entry[1])
        end
        if before['entries-added'] == count and before['groups'] == 0 then
            redis.call('DEL', stream)
        else
            -- The greatest deleted id cannot become none again.
            local deleted = before['max-deleted-entry-id']
            redis.call('XSETID', stream, before['last-generated-id'], 'ENTRIESADDED', before['entries-added'] - count,
                'MAXDELETEDID', deleted == '0-0' and '0-1' or deleted)
        end
    end
end
return 1
