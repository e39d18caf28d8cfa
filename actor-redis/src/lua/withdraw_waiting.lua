-- Deletes messages that wait in lanes.
--
-- KEYS  those of the gate, then those of unique keys
-- ARGV  for each message: key, letter, place in its list when it was listed, hash of its text
-- Returns how many it deleted. The others have moved on.

-- A script whose first write only frees may go on where Redis is out of memory, as removing must.
redis.call('ZREM', leases, '')

local removed = 0
for i = 1, #ARGV, 4 do
  local key, letter, hint, hash = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3]
  local place, text = find_in_lane(lane .. letter .. ':' .. key, hint, hash)
  if place then
    take_from_lane(letter, key, place)
    local name = name_in_lane(text)
    local unique_key = name and from_lane_bodies(name)
    if unique_key then
      redis.call('HDEL', lane_bodies, name)
      give_up({ unique_key }, { 'l:' .. name })
    end
    removed = removed + 1
  end
end
end_taking()
return removed
