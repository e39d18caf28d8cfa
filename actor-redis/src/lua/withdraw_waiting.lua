-- Deletes messages that wait in lanes.
--
-- KEYS  those of the gate
-- ARGV  for each message: key, letter, place in its list when it was listed, hash of its text
-- Returns how many it deleted. The others have moved on.

-- A script whose first write only frees may go on where Redis is out of memory, as removing must.
redis.call('ZREM', leases, '')

local removed = 0
for i = 1, #ARGV, 4 do
  local key, letter, hint, hash = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3]
  local place = find_in_lane(lane .. letter .. ':' .. key, hint, hash)
  if place then
    take_from_lane(letter, key, place)
    removed = removed + 1
  end
end
end_taking()
return removed
