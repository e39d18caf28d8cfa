-- Looks for a message by its id among the entries of a ready stream. It writes nothing.
--
-- KEYS  a ready stream
-- ARGV  group, id, the first entry and the last, how many at most
-- Returns the message's entry ('' where it is none of these), 1 where it is in flight, and the entry after which to go on
-- ('' at the end).

local stream = KEYS[1]
local group, id, from, to, limit = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])

local entries, more = read_entries(stream, from, to, limit)
for _, entry in ipairs(entries) do
  local body = entry[2][2]
  -- Reading all of them would take long.
  if body and string.find(body, id, 1, true) and id_of(body) == id then
    -- Without a group nothing is in flight.
    local pending = redis.pcall('XPENDING', stream, group, entry[1], entry[1], 1)
    local in_flight = not pending.err and #pending > 0
    return { entry[1], in_flight and 1 or 0, '' }
  end
end
return { '', 0, more and entries[#entries][1] or '' }
