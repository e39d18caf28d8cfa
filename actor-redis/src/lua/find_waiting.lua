-- Finds a message in its lane, and deletes it where that is asked for.
--
-- KEYS  those of the gate, then those of unique keys
-- ARGV  key, letter, place in its list when it was listed, hash of its text, 1 to delete it
-- Returns its text, or nothing where it has moved on.

local key, letter, hint, hash, deletes = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5] == '1'
local list = lane .. letter .. ':' .. key
-- How many places are looked at to either side. A list shrinks from its front.
local FAR, PAGE = 2000, 50

local function search(from, to, step)
  for at = from, to, step do
    local first = step < 0 and math.max(0, at - PAGE + 1) or at
    local texts = redis.call('LRANGE', list, first, first + PAGE - 1)
    for i = #texts, 1, -1 do
      note_read(texts[i])
      if redis.sha1hex(texts[i]) == hash then
        return first + i - 1, texts[i]
      end
    end
    if is_read_enough() or first == 0 and step < 0 or #texts == 0 and step > 0 then
      return nil
    end
  end
end

local place, text = search(hint, math.max(0, hint - FAR), -PAGE)
if not place then
  place, text = search(hint + 1, hint + FAR, PAGE)
end
if place and deletes then
  -- No text of a message begins so.
  redis.call('LSET', list, place, '-')
  redis.call('LREM', list, 1, '-')
  redis.call('HINCRBY', gate, 'w', -1)
  if redis.call('HINCRBY', waiting, key, -1) <= 0 then
    redis.call('HDEL', waiting, key)
    redis.call('ZREM', open, key)
    redis.call('ZREM', full, key)
  end
end
local name = text and name_in_lane(text)
if name then
  local unique_key, body = from_lane_bodies(name)
  text = string.match(text, '^%+?%d+') .. ' ' .. (body or '')
  if deletes and unique_key then
    redis.call('HDEL', lane_bodies, name)
    give_up({ unique_key }, { 'l:' .. name })
  end
end
return text
