-- Lists messages by their index, with what belongs to them. It writes nothing.
--
-- KEYS  scheduled, scheduled:bodies; or dead, dead:bodies, dead:reasons, dead:pruned
-- ARGV  the rank to begin at, how many at most
-- Returns 1 where there may be more, and for each message: its member, its score, and its value in each hash
-- (nothing where that lacks it).

local index, rank, limit = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])

local members = redis.call('ZRANGE', index, rank, rank + limit - 1, 'WITHSCORES')
local listed = {}
for i = 1, #members, 2 do
  if is_read_enough() then
    break
  end
  local message = { members[i], members[i + 1] }
  for k = 2, math.min(#KEYS, 3) do
    message[k + 1] = redis.call('HMGET', KEYS[k], members[i])[1]
    note_read(message[k + 1])
  end
  listed[#listed + 1] = message
end
local more = #listed * 2 < #members or #listed == limit
return { more and 1 or 0, listed }
