-- Finds what stands in an index and not in a hash, and the other way round. It writes nothing.
--
-- KEYS  index (a sorted set), hash
-- ARGV  where to go on in the index (a rank), where to go on in the hash (a cursor, '' where it is
--       through), how many at most
-- Returns where to go on in the index (-1 at the end), where to go on in the hash ('' at the end), how
-- many were read, the members without a value, and the fields without a place in the index.

local index, hash = KEYS[1], KEYS[2]
local rank, cursor, limit = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local read, bare, lost = 0, {}, {}

if rank >= 0 then
  local members = redis.call('ZRANGE', index, rank, rank + limit - 1)
  for _, member in ipairs(members) do
    if redis.call('HEXISTS', hash, member) == 0 then
      bare[#bare + 1] = member
    end
  end
  read = #members
  rank = read == limit and rank + limit or -1
end

if cursor ~= '' then
  local fields, further = read_fields(hash, cursor, limit)
  read = read + #fields
  for _, field in ipairs(fields) do
    if not redis.call('ZSCORE', index, field) then
      lost[#lost + 1] = field
    end
  end
  cursor = further == '0' and '' or further
end
return { rank, cursor, read, bare, lost }
