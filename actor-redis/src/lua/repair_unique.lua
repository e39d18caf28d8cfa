-- Frees unique keys whose message is nowhere, and lets go what follows it.
--
-- KEYS  those of unique keys
-- ARGV  group, where to go on (a cursor), how many at most
-- Returns where to go on ('' at the end), and how many were freed.

local page = redis.call('HSCAN', holders, ARGV[2], 'COUNT', ARGV[3])
local keys, places = {}, {}
for i = 1, #page[2], 2 do
  local _, _, place = read_holder(page[2][i + 1])
  if not place then
    redis.call('HDEL', holders, page[2][i])
  elseif not state_of(place, ARGV[1]) then
    keys[#keys + 1], places[#places + 1] = page[2][i], place
  end
end
if #keys > 0 then
  give_up(keys, places)
end
return { page[1] == '0' and '' or page[1], #keys }
