-- Finds the messages of a ready stream that are scheduled or dead letters too. It writes nothing.
--
-- KEYS  a ready stream, scheduled:bodies, dead:bodies
-- ARGV  the entry to begin after ('' for the first), how many at most, then the beginnings of a member
--       of `scheduled`
-- Returns the last entry read ('' at the end), how many were read, the entries whose message is
-- scheduled too, and those whose message is a dead letter too.

local stream, scheduled_bodies, dead_bodies = KEYS[1], KEYS[2], KEYS[3]
local limit = tonumber(ARGV[2])
local from = ARGV[1] == '' and '-' or '(' .. ARGV[1]

local function id_of(fields)
  for i = 1, #fields, 2 do
    if fields[i] == 'm' then
      -- What cannot be read becomes a dead letter under its entry's id.
      local ok, message = pcall(cjson.decode, fields[i + 1])
      return ok and type(message) == 'table' and type(message.id) == 'string' and message.id
    end
  end
end

local entries, more = read_entries(stream, from, '+', limit)
local scheduled, dead_lettered = {}, {}
for _, entry in ipairs(entries) do
  local id = id_of(entry[2])
  if id then
    for i = 3, #ARGV do
      if redis.call('HEXISTS', scheduled_bodies, ARGV[i] .. id) == 1 then
        scheduled[#scheduled + 1] = entry[1]
      end
    end
    if redis.call('HEXISTS', dead_bodies, id) == 1 then
      dead_lettered[#dead_lettered + 1] = entry[1]
    end
  end
end
return { more and entries[#entries][1] or '', #entries, { scheduled, dead_lettered } }
