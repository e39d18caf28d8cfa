-- Deletes ready messages of one level, and frees the slots and unique keys that they hold. What is in flight is left to its worker.
--
-- KEYS  ready:<level>, then those of the gate, then those of unique keys
-- ARGV  level (0 to 5), group, first entry, last entry, how many at most
-- Returns how many it deleted, and the last entry that it saw ('' where there was none).

local stream = KEYS[1]
local level, group, from, to, limit = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local unique_keys, places = {}, {}

local deleted, last = 0, ''
for _, entry in ipairs((read_entries(stream, from, to, limit))) do
  last = entry[1]
  -- Without a group nothing is in flight.
  local pending = redis.pcall('XPENDING', stream, group, last, last, 1)
  if pending.err or #pending == 0 then
    deleted = deleted + redis.call('XDEL', stream, last)
    drop_slot(entry[2])
    local key = key_of_entry(entry[2])
    if key then
      unique_keys[#unique_keys + 1], places[#places + 1] = key, level .. ':' .. last
    end
  end
end
free_dropped()
if #unique_keys > 0 then
  give_up(unique_keys, places)
end
return { deleted, last }
