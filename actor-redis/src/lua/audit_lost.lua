-- Finds the fields of a hash that have no place in an index. It writes nothing.
--
-- KEYS  index (a sorted set), hash
-- ARGV  where to go on (a cursor), how many at most
-- Returns where to go on ('' at the end), how many were read, and the fields found.

local index, hash = KEYS[1], KEYS[2]
local fields, cursor = read_fields(hash, ARGV[1], tonumber(ARGV[2]))
local found = {}
for _, field in ipairs(fields) do
  if not redis.call('ZSCORE', index, field) then
    found[#found + 1] = field
  end
end
return { cursor == '0' and '' or cursor, #fields, { found } }
