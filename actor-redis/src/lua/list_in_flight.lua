-- Reads entries of the ready streams, by their ids. It writes nothing.
--
-- KEYS  ready:high:released, ready:high, ready:normal:released,
--       ready:normal, ready:low:released, ready:low
-- ARGV  for each entry: level (0 to 5), id
-- Returns for as many of them as one answer holds: the entry, or nothing where it is gone.

local found = {}
for i = 1, #ARGV, 2 do
  if is_read_enough() then
    break
  end
  local stream, id = KEYS[1 + ARGV[i]], ARGV[i + 1]
  found[#found + 1] = read_entries(stream, id, id, 1)[1] or false
end
return found
