-- Prolongs a worker's lease, also one that has run out, unless the worker was declared dead. A lease that is
-- gone without such a declaration was forgotten, as where Redis was emptied, and is made again. One that ends before the
-- last renewal said was forgotten in part, as where a replica was promoted that lacked that renewal, and perhaps others'.
-- It runs in every heartbeat of every worker: each command in it counts.
--
-- KEYS  workers
-- ARGV  worker, ms of the lease, when the last renewal said that it ends ('' where there was none)
-- Returns 1 where the lease is held, 2 where it was made again and 3 where it ended before that, 1 where
-- another's lease has ended, 1 where the queue is paused, 1 where messages are parked, 1 where it has a gate, and the
-- time in microseconds.

local workers = KEYS[1]
local worker, lease_ms, said = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ends = now + lease_ms

-- Where it is known when the lease should end, what it grows by shows when it does.
local function prolong(call)
  if said then
    return call('ZADD', workers, 'XX', 'INCR', ends - said, worker)
  end
  return call('ZADD', workers, 'XX', 'CH', ends, worker)
end

local found = prolong(redis.pcall)
if type(found) == 'table' then
  -- Out of memory. Prolonging needs none, and a script that has begun with a write that only frees
  -- may go on; a worker that lost its lease here could not free memory any more.
  redis.call('ZREM', workers, '')
  found = prolong(redis.call)
end
local held = 0
if said and found then
  found = tonumber(found)
  held = found < ends and 3 or 1
  if found ~= ends then
    -- It may also end later: by a renewal without an answer.
    redis.call('ZADD', workers, 'XX', ends, worker)
  end
elseif not said and (found == 1 or redis.call('ZSCORE', workers, worker)) then
  held = 1 -- It may be prolonged to the same millisecond as before.
end
if held == 0 and not redis.call('ZSCORE', workers, worker .. ':lost') then
  redis.call('ZADD', workers, ends, worker)
  held = 2
end

-- The marks of the queue itself stand before all others.
local deaths, paused, parked, gated = 0, 0, 0, 0
for _, ended in ipairs(redis.call('ZRANGEBYSCORE', workers, '-inf', now, 'LIMIT', 0, 4)) do
  if ended == 'paused' then
    paused = 1
  elseif ended == 'parked' then
    parked = 1
  elseif ended == 'gated' then
    gated = 1
  else
    deaths = 1
  end
end
return { held, deaths, paused, parked, gated, time[1] * 1000000 + time[2] }
