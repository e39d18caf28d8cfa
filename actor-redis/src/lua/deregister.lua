-- Ends a worker's lease in good order.
--
-- KEYS  workers, ready:high:released, ready:high, ready:normal:released,
--       ready:normal, ready:low:released, ready:low
-- ARGV  worker, group
-- Returns how many messages it still held.

local workers = KEYS[1]
local worker, group = ARGV[1], ARGV[2]

redis.call('ZREM', workers, worker, worker .. ':stopping')
local holds = 0
for i = 2, #KEYS do
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
