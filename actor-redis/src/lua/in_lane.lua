-- Finds and takes messages that wait in lanes, for the scripts after it.
--
-- KEYS  those of the script
-- ARGV  those of the script
-- Returns nothing.

-- How many places are looked at to either side. A list shrinks from its front.
local FAR, PAGE = 2000, 50

-- The place and the text of a message, by where it was listed and the hash of its text; nothing where it has moved on.
local function find_in_lane(list, hint, hash)
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

  local text = redis.call('LINDEX', list, hint)
  note_read(text or '')
  if text and redis.sha1hex(text) == hash then
    return hint, text
  end
  local place
  place, text = search(hint, math.max(0, hint - FAR), -PAGE)
  if not place then
    place, text = search(hint + 1, hint + FAR, PAGE)
  end
  return place, text
end

-- What was taken so far: how many of each list, and of each key.
local taken_of_list, taken_of_key = {}, {}

-- Takes the message at a place of a lane's list. The others keep their places until all are taken.
local function take_from_lane(letter, key, place)
  local list = lane .. letter .. ':' .. key
  -- No text of a message begins so.
  redis.call('LSET', list, place, '-')
  taken_of_list[list] = (taken_of_list[list] or 0) + 1
  taken_of_key[key] = (taken_of_key[key] or 0) + 1
end

-- Has the lanes be without what was taken of them.
local function end_taking()
  for list in pairs(taken_of_list) do
    redis.call('LREM', list, 0, '-')
  end
  for key, count in pairs(taken_of_key) do
    redis.call('HINCRBY', gate, 'w', -count)
    local at = redis.call('ZMSCORE', full, key)[1]
    if redis.call('HINCRBY', waiting, key, -count) <= 0 then
      redis.call('HDEL', waiting, key)
      redis.call('ZREM', open, key)
      redis.call('ZREM', full, key)
    elseif at then
      -- It may have waited for one that cost much. It is looked at before anything of it goes.
      redis.call('ZREM', full, key)
      redis.call('ZADD', open, at, key)
    end
  end
  if next(taken_of_key) and redis.call('ZCARD', open) > 0 then
    wake_one()
  end
end

