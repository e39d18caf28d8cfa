-- Finds unique keys whose message is nowhere, and what should follow a message and is not scheduled. It writes nothing.
--
-- KEYS  those of unique keys
-- ARGV  group, where to go on (a cursor), how many at most
-- Returns where to go on ('' at the end), how many were read, the keys without a message, and those of what does not follow.

local page = redis.call('HSCAN', holders, ARGV[2], 'COUNT', ARGV[3])
local astray, unscheduled = {}, {}
for i = 1, #page[2], 2 do
  local key = page[2][i]
  local _, _, place = read_holder(page[2][i + 1])
  if not place or not state_of(place, ARGV[1]) then
    astray[#astray + 1] = key
  end
  local _, _, _, member = read_follower(redis.call('HMGET', followers, key)[1])
  if member and redis.call('HEXISTS', due_bodies, member) == 0 then
    unscheduled[#unscheduled + 1] = key
  end
end
return { page[1] == '0' and '' or page[1], #page[2] / 2, { astray, unscheduled } }
