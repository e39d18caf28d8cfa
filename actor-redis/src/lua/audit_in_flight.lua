-- Lists what is in flight from a ready stream, and finds what has no entry any more. It writes nothing.
--
-- KEYS  a ready stream
-- ARGV  group, the entry to begin after ('' for the first), how many at most
-- Returns the last entry read ('' at the end), how many were read, and the entries found.

local stream, group = KEYS[1], ARGV[1]
local limit = tonumber(ARGV[3])
local from = ARGV[2] == '' and '-' or '(' .. ARGV[2]

local delivered = redis.pcall('XPENDING', stream, group, from, '+', limit)
if delivered.err then
  return { '', 0, { {} } }
end
local read, found = 0, {}
for _, line in ipairs(delivered) do
  if is_read_enough() then
    break
  end
  read = read + 1
  if #read_entries(stream, line[1], line[1], 1) == 0 then
    found[#found + 1] = line[1]
  end
end
local more = read < #delivered or #delivered == limit
return { more and delivered[read][1] or '', read, { found } }
