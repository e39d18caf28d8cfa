-- Finds the entries of a ready stream that were delivered and that nobody holds. It writes nothing.
--
-- KEYS  a ready stream
-- ARGV  group, the entry to begin after ('' for the first), how many at most
-- Returns the last entry read ('' at the end), how many were read, and the entries found.

local stream, group = KEYS[1], ARGV[1]
local limit = tonumber(ARGV[3])

local last = last_delivered(stream, group)
if not last then
  return { '', 0, { {} } }
end

local from = ARGV[2] == '' and '-' or '(' .. ARGV[2]
local entries, more = read_entries(stream, from, last, limit)
local found = {}
for _, entry in ipairs(entries) do
  local id = entry[1]
  if #redis.call('XPENDING', stream, group, id, id, 1) == 0 then
    found[#found + 1] = id
  end
end
return { more and entries[#entries][1] or '', #entries, { found } }
