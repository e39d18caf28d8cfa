-- Schedules messages that wait in lanes. Each goes back to its lane when it is due.
--
-- KEYS  scheduled, scheduled:bodies, scheduled:lanes, then those of the gate, then those of unique keys
-- ARGV  ms within which workers check for themselves, ms from now, when to be due in ms since 1970 ('' for so long from
--       now), then for each message: key, letter, place in its list when it was listed, hash of its text, id
-- Returns how many moved, and when they are due.

local scheduled, bodies, lanes = KEYS[1], KEYS[2], KEYS[3]
local check_ms, delay_ms, due = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local FIRST = 4
local PRIORITIES = { h = 'high', n = 'normal', l = 'low' }
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
due = due or now + delay_ms

-- A script whose first write only frees may go on where Redis is out of memory, as moving must.
redis.call('ZREM', scheduled, '')
local known = tonumber(redis.call('ZRANGE', scheduled, 0, 0, 'WITHSCORES')[2])
local moved = 0
for i = FIRST, #ARGV, 5 do
  local key, letter, hint, hash = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3]
  local place, text = find_in_lane(lane .. letter .. ':' .. key, hint, hash)
  if place then
    local blank = string.find(text, ' ', 1, true)
    local suspect, cost = string.match(string.sub(text, 1, blank - 1), '^(%+?)(%d+)')
    local name, unique_key, body = name_in_lane(text), nil, string.sub(text, blank + 1)
    if name then
      unique_key, body = from_lane_bodies(name)
    end
    local member = PRIORITIES[letter] .. suspect .. '@:' .. ARGV[i + 4]
    -- Two messages with one identity, made by a foreign producer, must not replace one another.
    if redis.call('ZSCORE', scheduled, member) then
      member = member .. ':' .. hash
    end
    redis.call('HSET', bodies, member, body or '')
    if unique_key then
      redis.call('HSET', due_unique, member, unique_key)
      redis.call('HDEL', lane_bodies, name)
      move_holders({ unique_key }, { 'l:' .. name }, { 's:' .. member })
    end
    redis.call('HSET', lanes, member, cost .. ' ' .. key)
    redis.call('ZADD', scheduled, string.format('%.0f', due), member)
    -- It is stored again: only now may it go here.
    take_from_lane(letter, key, place)
    moved = moved + 1
  end
end
end_taking()
if moved > 0 and due < now + check_ms and (not known or due < known) then
  wake_one()
end
return { moved, string.format('%.0f', due) }
