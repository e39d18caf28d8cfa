-- Notes that a worker has begun to stop: its death, if it comes, is no crash of what it holds.
--
-- KEYS  workers
-- ARGV  worker, ms that the mark stands at most
-- Returns 1, or 0 where the worker has no lease.

local workers = KEYS[1]
local worker, stands_ms = ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- A script whose first write only frees may go on where Redis is out of memory, as stopping must.
redis.call('ZREM', workers, '')
if not redis.call('ZSCORE', workers, worker) then
  return 0
end
redis.call('ZADD', workers, now + stands_ms, worker .. ':stopping')
return 1
