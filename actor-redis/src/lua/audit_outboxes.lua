-- Finds outboxes of these queues that hold messages, and that nobody would look at.
--
-- KEYS  outboxes
-- ARGV  what the keys of outboxes begin with, 1 to have them looked at again, then the queues
-- Returns the queues.

local outboxes = KEYS[1]
local prefix, repairs = ARGV[1], ARGV[2] == '1'
local forgotten = {}
for i = 3, #ARGV do
  if redis.call('XLEN', prefix .. ARGV[i]) > 0 and redis.call('SISMEMBER', outboxes, ARGV[i]) == 0 then
    forgotten[#forgotten + 1] = ARGV[i]
    if repairs then
      redis.call('SADD', outboxes, ARGV[i])
    end
  end
end
return forgotten
