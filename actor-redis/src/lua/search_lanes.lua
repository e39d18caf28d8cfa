-- Goes through messages that wait in lanes, lane after lane, each from its end: what leaves a lane meanwhile leaves its
-- front, or was found before, and so none that stays is passed over. It writes nothing.
--
-- KEYS  those of the gate, then those of unique keys
-- ARGV  where to scan on, the lane to go on with ('' for the first), the letter of its list ('' for the first), the
--       place in it ('' for the last), how many at most, and the id of the only message that is looked for ('' for all)
-- Returns where to go on: the same four ('' at the end), and for each message: key, letter, place in its list, hash, text.

local cursor, after, after_letter, after_place = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local limit, id = tonumber(ARGV[5]), ARGV[6]
local LETTERS = { 'l', 'n', 'h' }
-- How many lanes' pages one call scans, and how many messages it reads again, in case some were put at the front.
local MOST_PAGES, AGAIN = 20, 8
local found, seen = {}, 0

-- Where to go on, where no more is to be read now.
local function search(key, letter, from)
  local list, at, before = lane .. letter .. ':' .. key, from, seen
  at = math.min(at or math.huge, redis.call('LLEN', list) - 1)
  while at >= 0 do
    if seen >= limit or is_read_enough() and seen > 0 then
      return { cursor, key, letter, tostring(at + math.max(0, math.min(AGAIN, seen - before - 1))) }
    end
    local first = math.max(0, at - at_once(limit - seen) + 1)
    local texts = redis.call('LRANGE', list, first, at)
    for i = #texts, 1, -1 do
      local text, hash = texts[i], nil
      note_read(text)
      local name = name_in_lane(text)
      if name then
        -- What took the place of another has another id than that.
        local _, body = from_lane_bodies(name)
        hash = redis.sha1hex(text)
        text = string.match(text, '^%+?%d+') .. ' ' .. (body or '')
        note_read(text)
      end
      seen = seen + 1
      local is_it = id == ''
      -- Reading all of them would take long.
      if not is_it and string.find(text, id, 1, true) then
        is_it = id_of(string.sub(text, string.find(text, ' ', 1, true) + 1)) == id
      end
      if is_it then
        found[#found + 1] = { key, letter, first + i - 1, hash or redis.sha1hex(text), text }
        if id ~= '' then
          return { '', '', '', '' }
        end
      end
    end
    at = first - 1
  end
end

for _ = 1, MOST_PAGES do
  local page = redis.call('HSCAN', waiting, cursor, 'COUNT', 100)
  local keys = {}
  for i = 1, #page[2], 2 do
    if page[2][i] >= after then
      keys[#keys + 1] = page[2][i]
    end
  end
  table.sort(keys)
  for _, key in ipairs(keys) do
    local goes_on = key == after and after_letter ~= ''
    local is_before = goes_on
    for _, letter in ipairs(LETTERS) do
      is_before = is_before and letter ~= after_letter
      if not is_before then
        local stopped = search(key, letter, goes_on and letter == after_letter and after_place or nil)
        if stopped then
          return { stopped, found }
        end
      end
    end
  end
  cursor, after, after_letter, after_place = page[1], '', '', nil
  if cursor == '0' then
    return { { '', '', '', '' }, found }
  end
  if seen >= limit then
    break
  end
end
return { { cursor, '', '', '' }, found }
