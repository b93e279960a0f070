for i = 1, #KEYS do
    local kind = redis.call('TYPE', KEYS[i]).ok
    if kind ~= 'stream' and kind ~= 'none' then
        return loadstring(ARGV[1])()
    end
end
return 0
