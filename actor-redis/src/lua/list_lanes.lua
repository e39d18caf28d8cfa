-- Lists messages that wait in lanes, lane after lane, each in the order of its priorities.
--
-- KEYS  those of the gate, then those of unique keys
-- ARGV  where to scan on, the lane to go on with ('' for the first), how many of its messages to pass over, how many at
--       most
-- Returns where to go on: the same three ('' at the end), and for each message: key, letter, place in its list, hash, text.

local cursor, after, skip, limit = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local found = {}
-- How many pages of lanes one call scans at most.
for _ = 1, 20 do
  local page = redis.call('HSCAN', waiting, cursor, 'COUNT', 100)
  local keys = {}
  for i = 1, #page[2], 2 do
    if page[2][i] >= after then
      keys[#keys + 1] = page[2][i]
    end
  end
  table.sort(keys)
  for _, key in ipairs(keys) do
    local passed = key == after and skip or 0
    local from = passed
    for _, letter in ipairs({ 'h', 'n', 'l' }) do
      local list = lane .. letter .. ':' .. key
      local length = from >= 0 and redis.call('LLEN', list) or 0
      if from >= length then
        from = from - length
      else
        while from < length do
          if #found == limit or (is_read_enough() and #found > 0) then
            return { { cursor, key, tostring(passed) }, found }
          end
          local texts = redis.call('LRANGE', list, from, from + at_once(math.min(limit - #found, length - from)) - 1)
          if #texts == 0 then
            break
          end
          for _, text in ipairs(texts) do
            note_read(text)
            local hash, name = redis.sha1hex(text), name_in_lane(text)
            if name then
              local _, body = from_lane_bodies(name)
              note_read(body)
              text = string.match(text, '^%+?%d+') .. ' ' .. (body or '')
            end
            found[#found + 1] = { key, letter, from, hash, text }
            from, passed = from + 1, passed + 1
          end
        end
        from = 0
      end
    end
  end
  cursor, after, skip = page[1], '', 0
  if cursor == '0' then
    return { { '', '', '' }, found }
  end
  if #found == limit then
    break
  end
end
return { { cursor, '', '0' }, found }
