-- Schedules messages again that are in flight, each only while this worker holds it; and parks those that need what
-- this worker lacks. What one command can do for all is done by one, for this is what every failure costs.
--
-- KEYS  scheduled, scheduled:bodies, workers, parked, wake, ready:high:released, ready:high, ready:normal:released,
--       ready:normal, ready:low:released, ready:low
-- ARGV  worker, group, ms within which workers check for themselves, ms that a hint of what is parked stands, then
--       for each message, in the order of level and entry: level (0 to 5), entry, member, ms to wait, body,
--       the ability it needs ('' for none)
-- Returns for each message: 1, or 0 where this worker does not hold it.

local scheduled, bodies, workers, parked, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local me, group, check_ms, hint_ms = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local FIRST, WIDTH, READY = 5, 6, 6
local OVERDUE_MS = 1000
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- A script whose first write only frees may go on where Redis is out of memory, as settling must.
redis.call('ZREM', scheduled, '')

-- The entries that this worker holds, of those from one argument to another, which are of one stream.
local function held(stream, from, to)
  local count = (to - from) / WIDTH + 1
  local last = ARGV[to + 1]
  local mine = {}
  local pending = redis.call('XPENDING', stream, group, ARGV[from + 1], last, 2 * count, me)
  for _, line in ipairs(pending) do
    mine[line[1]] = true
  end
  if #pending == 2 * count and pending[#pending][1] ~= last then
    -- It holds many others in between.
    for i = from, to, WIDTH do
      local entry = ARGV[i + 1]
      mine[entry] = #redis.call('XPENDING', stream, group, entry, entry, 1, me) > 0
    end
  end
  return mine
end

local answers, entries, places, members = {}, {}, {}, {}
local from = FIRST
while from < #ARGV do
  local to = from
  while ARGV[to + WIDTH] == ARGV[from] do
    to = to + WIDTH
  end
  local stream = KEYS[READY + ARGV[from]]
  local mine = held(stream, from, to)
  local ids = {}
  for i = from, to, WIDTH do
    answers[#answers + 1] = mine[ARGV[i + 1]] and 1 or 0
    if mine[ARGV[i + 1]] then
      ids[#ids + 1] = ARGV[i + 1]
      places[#places + 1] = i
      members[#members + 1] = ARGV[i + 2]
    end
  end
  if #ids > 0 then
    entries[#entries + 1] = { stream, ids }
  end
  from = to + WIDTH
end
if #places == 0 then
  return answers
end

-- Two messages with one identity, made by a foreign producer, must not replace one another.
local seen = redis.call('ZMSCORE', scheduled, unpack(members))
local scores, texts, hints, soonest = {}, {}, {}, nil
for n, i in ipairs(places) do
  local member, due = members[n], now + ARGV[i + 3]
  if seen[n] or seen[member] then
    member = member .. ':' .. ARGV[i + 1]
    members[n] = member
  end
  seen[member] = true
  stored_as[(i - FIRST) / WIDTH + 1] = 's:' .. member
  scores[#scores + 1] = due
  scores[#scores + 1] = member
  texts[#texts + 1] = member
  texts[#texts + 1] = ARGV[i + 4]
  if ARGV[i + 5] ~= '' then
    hints[#hints + 1] = 0
    hints[#hints + 1] = ARGV[i + 5] .. ' ' .. string.format('%.0f', due) .. ' ' .. member
  else
    soonest = math.min(soonest or due, due)
  end
end

-- A key that holds something else must refuse before anything is stored, or half of it would stay.
local known = redis.call('ZRANGE', scheduled, 0, 0, 'WITHSCORES')[2]
redis.call('ZADD', scheduled, unpack(scores))
local stored = redis.pcall('HSET', bodies, unpack(texts))
if type(stored) == 'table' then
  redis.call('ZREM', scheduled, unpack(members))
  return stored
end
if #hints > 0 then
  -- What is parked and not found by this is due in minutes.
  redis.pcall('ZADD', parked, unpack(hints))
  redis.pcall('PEXPIRE', parked, hint_ms)
  redis.call('ZADD', workers, -1, 'parked')
end
-- They are stored again: only now may they go here.
for _, of_stream in ipairs(entries) do
  redis.call('XACK', of_stream[1], group, unpack(of_stream[2]))
  redis.call('XDEL', of_stream[1], unpack(of_stream[2]))
end

known = tonumber(known)
-- What is overdue should have been moved: whoever was woken for it has died, or heard no answer.
if soonest and soonest < now + check_ms and (not known or soonest < known or known < now - OVERDUE_MS) then
  redis.pcall('XADD', wake, 'MAXLEN', 1, '*', 'w', 1)
end
return answers
