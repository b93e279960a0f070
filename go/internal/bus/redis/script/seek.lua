-- Looks for events that may be in a stream, at so many of its entries.
-- KEYS: the stream
-- ARGV: the id behind which to look, the last one to look at ("+" for the newest there is), how
--       many entries, and of each event how its JSON begins, which holds its id
-- Returns the id behind which to go on ("" where nothing is left), the last one to look at, and of
-- each event that is there its number among those given and its entry's id.
local stream, after, last, left = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
if last == '+' then
    local newest = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
    if not newest then
        return {'', ''}
    end
    last = newest[1]
end
local sought = {}
for i = 4, #ARGV do
    sought[ARGV[i]] = sought[ARGV[i]] or i - 3
end
local result = {'', last}
while true do
    local count = math.min(left, 100)
    local page = redis.call('XRANGE', stream, '(' .. after, last, 'COUNT', count)
    for _, entry in ipairs(page) do
        local values = entry[2]
        for field = 1, #values, 2 do
            local head = values[field] == 'data' and string.match(values[field + 1], '^{"id":".-",')
            if head and sought[head] then
                result[#result + 1] = sought[head]
                result[#result + 1] = entry[1]
                sought[head] = nil
            end
        end
    end
    if #page < count then
        return result
    end
    after, left = page[count][1], left - count
    if left == 0 then
        result[1] = after
        return result
    end
end
