local call = redis.call
for i, stream in ipairs(KEYS) do
	local count, first, added = tonumber(ARGV[2 * i]), ARGV[2 * i + 1], {}
	if call('TYPE', stream).ok == 'stream' then
		added = call('XREVRANGE', stream, '+', '-', 'COUNT', count)
	end
	if added[count] and string.find(added[count][2][2], first, 1, true) == 1 then
		local info, was = call('XINFO', 'STREAM', stream), {}
		for j = 1, #info, 2 do
			was[info[j]] = info[j + 1]
		end
		for j = 1, count do
			call('XDEL', stream, added[j][1])
		end
		local before, deleted = was['entries-added'] - count, was['max-deleted-entry-id']
		if before == 0 and was.groups == 0 then
			call('DEL', stream)
		else
			call('XSETID', stream, was['last-generated-id'], 'ENTRIESADDED', before, 'MAXDELETEDID', deleted == '0-0' and '0-1' or deleted)
		end
	end
end
return 1
