-- Ends a worker's lease in good order.
--
-- KEYS  workers, wake, ready:high:released, ready:high, ready:normal:released, ready:normal, ready:low:released,
--       ready:low
-- ARGV  worker, group
-- Returns how many messages it still held.

local workers, wake = KEYS[1], KEYS[2]
local worker, group = ARGV[1], ARGV[2]

redis.call('ZREM', workers, worker, worker .. ':stopping')
-- What woke it is no message that it holds.
redis.pcall('XGROUP', 'DELCONSUMER', wake, group, worker)
local holds = 0
for i = 3, #KEYS do
  local consumers = redis.pcall('XINFO', 'CONSUMERS', KEYS[i], group)
  for _, consumer in ipairs(consumers) do
    if consumer[2] == worker then
      if consumer[4] == 0 then
        redis.call('XGROUP', 'DELCONSUMER', KEYS[i], group, worker)
      else
        holds = holds + consumer[4]
      end
    end
  end
end
if holds > 0 then
  -- Every heartbeat of the others sees the first mark, until one of them has taken what is left. It ended in
  -- good order, says the second, so that nothing is counted against that.
  redis.call('ZADD', workers, 0, worker .. ':dead', 1, worker .. ':stopping')
end
return holds
