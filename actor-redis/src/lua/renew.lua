-- Prolongs a worker's lease, also one that has run out, unless the worker was declared dead.
-- It runs in every heartbeat of every worker: each command in it counts.
--
-- KEYS  workers
-- ARGV  worker, ms of the lease
-- Returns 1 where the lease is held, 1 where another's lease has ended, 1 where the queue is paused,
-- and the time in microseconds.

local workers = KEYS[1]
local worker, lease_ms = ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local held = redis.pcall('ZADD', workers, 'XX', 'CH', now + lease_ms, worker)
if type(held) == 'table' then
  -- Out of memory. Prolonging needs none, and a script that has begun with a write that only frees
  -- may go on; a worker that lost its lease here could not make room any more.
  redis.call('ZREM', workers, '')
  held = redis.call('ZADD', workers, 'XX', 'CH', now + lease_ms, worker)
end
if held == 0 and redis.call('ZSCORE', workers, worker) then
  held = 1 -- Prolonged to the same millisecond as before.
end

-- The mark of a paused queue stands before all others.
local deaths, paused = 0, 0
for _, ended in ipairs(redis.call('ZRANGEBYSCORE', workers, '-inf', now, 'LIMIT', 0, 2)) do
  if ended == 'paused' then
    paused = 1
  else
    deaths = 1
  end
end
return { held, deaths, paused, time[1] * 1000000 + time[2] }
