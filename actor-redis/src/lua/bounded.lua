-- Reads what may hold large bodies, bounded by bytes too: a script copies a body several times, and what
-- it reads holds up everybody. Stands before the scripts that use it.
--
-- KEYS  those of the script
-- ARGV  those of the script
-- Returns nothing.

-- What one call of a script reads at most, and the end of what it has begun.
local most_bytes = 1048576
local bytes_read, bodies_read = 0, 0

local function note_read(body)
  bytes_read = bytes_read + #(body or '')
  bodies_read = bodies_read + 1
end

local function is_read_enough()
  return bytes_read >= most_bytes
end

-- How many to read at once: large ones, and what is not known yet, one by one.
local function at_once(most)
  if bodies_read == 0 or bytes_read / bodies_read > 65536 then
    return 1
  end
  return math.min(4, most)
end

-- The entries of a stream, and whether there may be more.
local function read_entries(stream, from, to, most)
  local entries = {}
  repeat
    local count = at_once(most - #entries)
    local page = redis.call('XRANGE', stream, from, to, 'COUNT', count)
    for _, entry in ipairs(page) do
      for _, field in ipairs(entry[2]) do
        bytes_read = bytes_read + #field
      end
      bodies_read = bodies_read + 1
      entries[#entries + 1] = entry
    end
    if #page < count then
      return entries, false
    end
    from = '(' .. page[count][1]
  until #entries >= most or is_read_enough()
  return entries, true
end

-- The last entry that a group has delivered; nothing without the group.
local function last_delivered(stream, group)
  for _, known in ipairs(redis.pcall('XINFO', 'GROUPS', stream)) do
    local info = {}
    for i = 1, #known, 2 do
      info[known[i]] = known[i + 1]
    end
    if info.name == group then
      return info['last-delivered-id']
    end
  end
end

-- The fields of a hash without their values, and where to go on (a cursor, '0' at the end).
local function read_fields(hash, cursor, most)
  local fields, calls = {}, 0
  repeat
    local page = redis.call('HSCAN', hash, cursor, 'COUNT', at_once(most))
    cursor, calls = page[1], calls + 1
    for i = 1, #page[2], 2 do
      fields[#fields + 1] = page[2][i]
      note_read(page[2][i + 1])
    end
    -- A hash that has shrunk is mostly empty.
  until cursor == '0' or #fields >= most or calls >= most or is_read_enough()
  return fields, cursor
end

