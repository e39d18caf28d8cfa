-- Schedules ready messages, each unless it is in flight, and frees the slots that they hold. One that holds some goes to
-- its lane when it is due.
--
-- KEYS  scheduled, scheduled:bodies, scheduled:lanes, ready:high:released, ready:high, ready:normal:released,
--       ready:normal, ready:low:released, ready:low, then those of the gate, then those of unique keys
-- ARGV  group, ms within which workers check for themselves, ms from now, when to be due in ms since 1970 ('' for so
--       long from now), then for each message: level (0 to 5), entry, id
-- Returns how many moved, and when they are due.

local scheduled, bodies, lanes, READY = KEYS[1], KEYS[2], KEYS[3], 4
local group, check_ms, delay_ms, due = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local FIRST = 5
local PRIORITIES = { 'high', 'high', 'normal', 'normal', 'low', 'low' }
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
due = due or now + delay_ms

-- A script whose first write only frees may go on where Redis is out of memory, as moving must.
redis.call('ZREM', scheduled, '')
local known = tonumber(redis.call('ZRANGE', scheduled, 0, 0, 'WITHSCORES')[2])
local moved = 0
for i = FIRST, #ARGV, 3 do
  local stream, entry = KEYS[READY + ARGV[i]], ARGV[i + 1]
  local pending = redis.pcall('XPENDING', stream, group, entry, entry, 1)
  local found = (pending.err or #pending == 0) and redis.call('XRANGE', stream, entry, entry)[1]
  if found then
    local body, suspect = found[2][2] or '', found[2][3] == 'suspect' and '+' or ''
    local cost, lane_key = drop_slot(found[2])
    local key = key_of_entry(found[2])
    local member = PRIORITIES[ARGV[i] + 1] .. suspect .. ((cost or key) and '@:' or ':') .. ARGV[i + 2]
    -- Two messages with one identity, made by a foreign producer, must not replace one another.
    if redis.call('ZSCORE', scheduled, member) then
      member = member .. ':' .. entry
    end
    redis.call('HSET', bodies, member, body)
    if cost then
      redis.call('HSET', lanes, member, cost .. ' ' .. lane_key)
    end
    if key then
      redis.call('HSET', due_unique, member, key)
      move_holders({ key }, { ARGV[i] .. ':' .. entry }, { 's:' .. member })
    end
    redis.call('ZADD', scheduled, string.format('%.0f', due), member)
    -- It is stored again: only now may it go here.
    redis.call('XDEL', stream, entry)
    moved = moved + 1
  end
end
free_dropped()
if moved > 0 and due < now + check_ms and (not known or due < known) then
  wake_one()
end
return { moved, string.format('%.0f', due) }
