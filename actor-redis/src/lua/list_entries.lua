-- Lists the entries of a ready stream with their fields. It writes nothing.
--
-- KEYS  a ready stream
-- ARGV  group, the entry to begin after ('' for the first that the group has not read), how many at most
-- Returns 1 where there may be more, and the entries: the id, and the fields.

local stream, group, from = KEYS[1], ARGV[1], ARGV[2]

if from == '' then
  from = last_delivered(stream, group) or ''
end

local entries, more = read_entries(stream, from == '' and '-' or '(' .. from, '+', tonumber(ARGV[3]))
return { more and 1 or 0, entries }
