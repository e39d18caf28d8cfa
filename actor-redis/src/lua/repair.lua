-- Puts back into an index what has a body and no place in it, as if its time were now: a scheduled message is due at
-- once, a dead letter is listed as dead-lettered now.
--
-- KEYS  scheduled, scheduled:bodies; or dead, dead:bodies, dead:reasons, dead:pruned
-- ARGV  where to go on (a cursor), how many at most
-- Returns where to go on ('' at the end), and how many were put back.

local index, bodies = KEYS[1], KEYS[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- A script whose first write only frees may go on where Redis is out of memory, as repairing must.
redis.call('ZREM', index, '')
local members, cursor = read_fields(bodies, ARGV[1], tonumber(ARGV[2]))
local restored = 0
for _, member in ipairs(members) do
  restored = restored + redis.call('ZADD', index, 'NX', now, member)
end
return { cursor == '0' and '' or cursor, restored }
