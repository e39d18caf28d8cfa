-- Counts the messages that wait in a queue's outboxes.
--
-- KEYS  outboxes
-- ARGV  what the keys of the outboxes begin with
-- Returns for each: the queue that they go to, and how many.

local all = {}
for _, to in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  all[#all + 1] = { to, redis.call('XLEN', ARGV[1] .. to) }
end
return all
