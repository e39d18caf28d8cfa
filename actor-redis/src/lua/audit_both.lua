-- Finds the scheduled messages that are dead letters too. It writes nothing.
--
-- KEYS  scheduled:bodies, dead:bodies
-- ARGV  where to go on (a cursor), how many at most
-- Returns where to go on ('' at the end), how many were read, and the members of `scheduled` found.

local scheduled, dead = KEYS[1], KEYS[2]
local members, cursor = read_fields(scheduled, ARGV[1], tonumber(ARGV[2]))
local found = {}
for _, member in ipairs(members) do
  if redis.call('HEXISTS', dead, string.match(member, '^%a+%+?:(.+)$') or '') == 1 then
    found[#found + 1] = member
  end
end
return { cursor == '0' and '' or cursor, #members, { found } }
