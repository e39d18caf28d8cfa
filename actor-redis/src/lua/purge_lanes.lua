-- Deletes all messages of some lanes.
--
-- KEYS  those of the gate
-- ARGV  how many lanes at least, while there are any
-- Returns how many messages it deleted, and how many lanes are left.

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
return { count, redis.call('HLEN', waiting) }
