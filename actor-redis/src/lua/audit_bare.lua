-- Finds the members of an index that have no value in a hash. It writes nothing.
--
-- KEYS  index (a sorted set), hash
-- ARGV  where to go on (a rank), how many at most
-- Returns where to go on ('' at the end), how many were read, and the members found.

local index, hash = KEYS[1], KEYS[2]
local rank, limit = tonumber(ARGV[1]), tonumber(ARGV[2])

local members = redis.call('ZRANGE', index, rank, rank + limit - 1)
local found = {}
for _, member in ipairs(members) do
  if redis.call('HEXISTS', hash, member) == 0 then
    found[#found + 1] = member
  end
end
return { #members == limit and tostring(rank + limit) or '', #members, { found } }
