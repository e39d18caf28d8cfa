-- Deletes all messages of some lanes.
--
-- KEYS  those of the gate, then those of unique keys
-- ARGV  how many lanes at least, while there are any
-- Returns how many messages it deleted, and how many lanes and unique keys of theirs are left.

local page = redis.call('HSCAN', waiting, 0, 'COUNT', ARGV[1])[2]
local keys, count = {}, 0
for i = 1, #page, 2 do
  local key = page[i]
  keys[#keys + 1], count = key, count + tonumber(page[i + 1])
  redis.call('UNLINK', lane .. 'h:' .. key, lane .. 'n:' .. key, lane .. 'l:' .. key)
  if #keys == 1000 then
    break
  end
end
if #keys > 0 then
  redis.call('HDEL', waiting, unpack(keys))
  redis.call('ZREM', open, unpack(keys))
  redis.call('ZREM', full, unpack(keys))
  redis.call('HINCRBY', gate, 'w', -count)
end
-- Without lanes nothing that holds a unique key waits in one.
if redis.call('HLEN', waiting) == 0 then
  local names, unique_keys, places = {}, {}, {}
  for _, name in ipairs((read_fields(lane_bodies, '0', 100))) do
    names[#names + 1], unique_keys[#unique_keys + 1], places[#places + 1] = name, from_lane_bodies(name), 'l:' .. name
  end
  if #names > 0 then
    redis.call('HDEL', lane_bodies, unpack(names))
    give_up(unique_keys, places)
  end
end
return { count, redis.call('HLEN', waiting) + redis.call('HLEN', lane_bodies) }
