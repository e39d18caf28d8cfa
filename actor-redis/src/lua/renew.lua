-- Prolongs a worker's lease, also one that has run out, unless the worker was declared dead. A lease that is
-- gone without such a declaration was forgotten, as where Redis was emptied, and is made again.
-- It runs in every heartbeat of every worker: each command in it counts.
--
-- KEYS  workers
-- ARGV  worker, ms of the lease
-- Returns 1 where the lease is held and 2 where it was made again, 1 where another's lease has ended, 1 where
-- the queue is paused, 1 where messages are parked, and the time in microseconds.

local workers = KEYS[1]
local worker, lease_ms = ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local held = redis.pcall('ZADD', workers, 'XX', 'CH', now + lease_ms, worker)
if type(held) == 'table' then
  -- Out of memory. Prolonging needs none, and a script that has begun with a write that only frees
  -- may go on; a worker that lost its lease here could not free memory any more.
  redis.call('ZREM', workers, '')
  held = redis.call('ZADD', workers, 'XX', 'CH', now + lease_ms, worker)
end
if held == 0 and redis.call('ZSCORE', workers, worker) then
  held = 1 -- Prolonged to the same millisecond as before.
elseif held == 0 and not redis.call('ZSCORE', workers, worker .. ':lost') then
  redis.call('ZADD', workers, now + lease_ms, worker)
  held = 2
end

-- The marks of the queue itself stand before all others.
local deaths, paused, parked = 0, 0, 0
for _, ended in ipairs(redis.call('ZRANGEBYSCORE', workers, '-inf', now, 'LIMIT', 0, 3)) do
  if ended == 'paused' then
    paused = 1
  elseif ended == 'parked' then
    parked = 1
  else
    deaths = 1
  end
end
return { held, deaths, paused, parked, time[1] * 1000000 + time[2] }
