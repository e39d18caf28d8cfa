-- Finds the scheduled messages that are dead letters too. It writes nothing.
--
-- KEYS  later:bodies, dead:bodies
-- ARGV  where to go on (a cursor), how many at most
-- Returns where to go on ('' at the end), how many were read, and the members of `later` found.

local later, dead = KEYS[1], KEYS[2]
local page = redis.call('HSCAN', later, ARGV[1], 'COUNT', ARGV[2])
local read, found = 0, {}
for i = 1, #page[2], 2 do
  read = read + 1
  local member = page[2][i]
  if redis.call('HEXISTS', dead, string.match(member, '^%a+:(.+)$') or '') == 1 then
    found[#found + 1] = member
  end
end
return { page[1] == '0' and '' or page[1], read, found }
