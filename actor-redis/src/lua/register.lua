-- Begins a worker's lease.
--
-- KEYS  workers
-- ARGV  worker, ms of the lease
-- Returns 1 where the queue is paused, 1 where it has a gate, and the time in microseconds.

local workers = KEYS[1]
local worker, lease_ms = ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- A script whose first write only frees may go on where Redis is out of memory: workers must be
-- able to start then, for they are what frees memory.
redis.call('ZREM', workers, '')
redis.call('ZADD', workers, now + lease_ms, worker)
local marks = redis.call('ZMSCORE', workers, 'paused', 'gated')
return { marks[1] and 1 or 0, marks[2] and 1 or 0, time[1] * 1000000 + time[2] }
