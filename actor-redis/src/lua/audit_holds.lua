-- Finds the entries of a ready stream whose messages hold a unique key until they are done, while the key names another or none.
-- It writes nothing.
--
-- KEYS  a ready stream, then those of unique keys
-- ARGV  level (0 to 5), the entry to begin after ('' for the first), how many at most
-- Returns the last entry read ('' at the end), how many were read, and the entries found.

local level, limit = ARGV[1], tonumber(ARGV[3])
local from = ARGV[2] == '' and '-' or '(' .. ARGV[2]
local entries, more = read_entries(KEYS[1], from, '+', limit)
local found = {}
for _, entry in ipairs(entries) do
  local id, fields = entry[1], entry[2]
  local at = fields[#fields - 1] == 'k' and #fields - 2 or #fields
  if at > 2 and fields[at - 1] == 'u' then
    local _, _, place = read_holder(redis.call('HMGET', holders, fields[at])[1])
    if place ~= level .. ':' .. id then
      -- A run that has begun holds no key that ends with its start.
      local ok, message = pcall(cjson.decode, fields[2])
      local unique = ok and type(message) == 'table' and message.unique
      if type(unique) ~= 'table' or unique['until'] ~= 'started' then
        found[#found + 1] = id
      end
    end
  end
end
return { more and entries[#entries][1] or '', #entries, { found } }
