-- Schedules messages again that are in flight, each only while this worker holds it; and parks those that need what
-- this worker lacks. What one command can do for all is done by one, for this is what every failure costs.
--
-- KEYS  scheduled, scheduled:bodies, scheduled:lanes, workers, parked, wake, cancelled, ready:high:released, ready:high,
--       ready:normal:released, ready:normal, ready:low:released, ready:low
-- ARGV  worker, group, ms within which workers check for themselves, ms that a hint of what is parked stands, then
--       groups of messages of one level and lane that need the same: level (0 to 5), the ability they need ('' for
--       none), what they take of their lane ('' for none, else the cost, a blank, the key), how many they are, and for
--       each, in the order of the entries: entry, member, ms to wait, body
-- Returns for each message: 1, 0 where this worker does not hold it, or 'cancelled' where it was, and has ended.

local scheduled, bodies, lanes, workers, parked = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local wake, cancelled = KEYS[6], KEYS[7]
local me, group, check_ms, hint_ms = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local FIRST, HEAD, WIDTH, READY = 5, 4, 4, 8
local OVERDUE_MS = 1000
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- A script whose first write only frees may go on where Redis is out of memory, as settling must.
redis.call('ZREM', scheduled, '')

-- The entries that this worker holds, of those from one argument to another.
local function held(stream, from, to)
  local most = 2 * ((to - from) / WIDTH + 1)
  local last = ARGV[to]
  local mine = {}
  local pending = redis.call('XPENDING', stream, group, ARGV[from], last, most, me)
  for _, line in ipairs(pending) do
    mine[line[1]] = true
  end
  if #pending == most and pending[most][1] ~= last then
    -- It holds many others in between.
    for i = from, to, WIDTH do
      local entry = ARGV[i]
      mine[entry] = #redis.call('XPENDING', stream, group, entry, entry, 1, me) > 0
    end
  end
  return mine
end

-- When a message is due that waits so long, as text: making one costs as much as storing the message.
local texts, soonest = {}, nil
local function due_in(wait)
  local due = texts[wait]
  if not due then
    local at = now + wait
    due = string.format('%.0f', at)
    texts[wait], soonest = due, math.min(soonest or at, at)
  end
  return due
end

local answers, asked, count = {}, 0, 0
-- What is settled, and what is stored for it.
local settled, members, index, stored, needs, takes, entry_of, number_of = {}, {}, {}, {}, {}, {}, {}, {}
local cancels = any_cancelled(cancelled)
local head = FIRST
while head < #ARGV do
  local stream, ability, in_lane = KEYS[READY + ARGV[head]], ARGV[head + 1], ARGV[head + 2]
  local from = head + HEAD
  local to = from + (ARGV[head + 3] - 1) * WIDTH
  local mine = held(stream, from, to)
  local ids, n = {}, 0
  for i = from, to, WIDTH do
    local entry = ARGV[i]
    asked = asked + 1
    answers[asked] = mine[entry] and 1 or 0
    if mine[entry] then
      n = n + 1
      ids[n] = entry
      if cancels and ends_cancelled(cancelled, string.match(ARGV[i + 1], ':(.*)$')) then
        answers[asked] = 'cancelled'
      else
        count = count + 1
        members[count], entry_of[count], number_of[count] = ARGV[i + 1], entry, asked
        stored_as[asked] = 's:' .. ARGV[i + 1]
        index[2 * count - 1], index[2 * count] = due_in(ARGV[i + 2]), ARGV[i + 1]
        stored[2 * count - 1], stored[2 * count] = ARGV[i + 1], ARGV[i + 3]
        needs[count] = ability ~= '' and ability or nil
        takes[count] = in_lane ~= '' and in_lane or nil
      end
    end
  end
  if n > 0 then
    settled[#settled + 1] = { stream, ids }
  end
  head = to + WIDTH
end

-- Called once they are stored again: only then may they go here.
local function let_go()
  for _, of_stream in ipairs(settled) do
    redis.call('XACK', of_stream[1], group, unpack(of_stream[2]))
    redis.call('XDEL', of_stream[1], unpack(of_stream[2]))
  end
end

if count == 0 then
  let_go()
  return answers
end

-- A key that holds something else must refuse before anything is stored, or half of it would stay.
local known = tonumber(redis.call('ZRANGE', scheduled, 0, 0, 'WITHSCORES')[2])
if redis.call('ZADD', scheduled, 'NX', unpack(index)) < count then
  -- Two messages with one identity, made by a foreign producer, must not replace one another.
  local seen = {}
  for n, member in ipairs(members) do
    if seen[member] or redis.call('HEXISTS', bodies, member) == 1 then
      member = member .. ':' .. entry_of[n]
      members[n], index[2 * n], stored[2 * n - 1] = member, member, member
      stored_as[number_of[n]] = 's:' .. member
    end
    seen[member] = true
  end
  redis.call('ZADD', scheduled, unpack(index))
end
local refusal = redis.pcall('HSET', bodies, unpack(stored))
if type(refusal) == 'table' then
  redis.call('ZREM', scheduled, unpack(members))
  return refusal
end
if next(takes) then
  local of_lanes = {}
  for i, taken in pairs(takes) do
    of_lanes[#of_lanes + 1], of_lanes[#of_lanes + 2] = members[i], taken
  end
  redis.call('HSET', lanes, unpack(of_lanes))
end
if next(needs) then
  local hints = {}
  for i, ability in pairs(needs) do
    hints[#hints + 1] = 0
    hints[#hints + 1] = ability .. ' ' .. index[2 * i - 1] .. ' ' .. members[i]
  end
  -- What is parked and not found by this is due in minutes.
  redis.pcall('ZADD', parked, unpack(hints))
  redis.pcall('PEXPIRE', parked, hint_ms)
  redis.call('ZADD', workers, -1, 'parked')
end
let_go()

-- What is overdue should have been moved: whoever was woken for it has died, or heard no answer.
if soonest < now + check_ms and (not known or soonest < known or known < now - OVERDUE_MS) then
  redis.pcall('XADD', wake, 'MAXLEN', 1, '*', 'w', 1)
end
return answers
