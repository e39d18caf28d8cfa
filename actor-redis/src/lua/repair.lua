-- Puts back into an index what has a body and no place in it, as if its time were now: a scheduled message is due at
-- once, a dead letter is listed as dead-lettered now.
--
-- KEYS  scheduled, scheduled:bodies, scheduled:lanes; or dead, dead:bodies, dead:reasons, dead:pruned; then those of unique keys
-- ARGV  where to go on (a cursor), how many at most
-- Returns where to go on ('' at the end), and how many were put back.

local index, bodies = KEYS[1], KEYS[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- A script whose first write only frees may go on where Redis is out of memory, as repairing must.
redis.call('ZREM', index, '')
local members, cursor = read_fields(bodies, ARGV[1], tonumber(ARGV[2]))
local restored = 0
-- What follows another message is let go by that one.
local FOLLOWS_MS = 100 * 365 * 24 * 3600 * 1000
for _, member in ipairs(members) do
  local key = not KEYS[4] and select(5, read_member(member))
  local follower = key and select(4, read_follower(redis.call('HMGET', followers, key)[1]))
  local now = follower == member and now + FOLLOWS_MS or now
  restored = restored + redis.call('ZADD', index, 'NX', now, member)
end
return { cursor == '0' and '' or cursor, restored }
