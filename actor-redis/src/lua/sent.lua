-- Removes messages that were stored in another queue from the outbox. An outbox that is empty stays, since it knows the last
-- number that it gave: it must give none twice.
--
-- KEYS  the outbox for that queue, outboxes
-- ARGV  the other queue, then the entries
-- Returns how many are left.

local outbox, outboxes = KEYS[1], KEYS[2]
local to = ARGV[1]
if #ARGV > 1 then
  redis.call('XDEL', outbox, unpack(ARGV, 2))
end
local left = redis.call('XLEN', outbox)
if left == 0 then
  redis.call('SREM', outboxes, to)
end
return left
