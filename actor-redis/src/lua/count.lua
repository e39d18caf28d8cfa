-- Counts a queue's messages by their state.
--
-- KEYS  workers, scheduled, dead, dead:pruned, gate, outboxes, ready:high:released, ready:high, ready:normal:released,
--       ready:normal, ready:low:released, ready:low
-- ARGV  group, what the keys of outboxes begin with
-- Returns how many are ready, in flight, scheduled and dead, 1 where the queue is paused, how many dead letters
-- were pruned because they were too many or too old, since when, in ms since 1970 (0 where none was), how many wait in
-- lanes, and how many in outboxes.

local workers, scheduled, dead, pruned, gate, outboxes = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local group, outbox_prefix = ARGV[1], ARGV[2]

local stored, in_flight = 0, 0
for i = 7, #KEYS do
  stored = stored + redis.call('XLEN', KEYS[i])
  local pending = redis.pcall('XPENDING', KEYS[i], group)
  if not pending.err then
    in_flight = in_flight + pending[1]
  end
end

local outgoing = 0
local targets = redis.pcall('SMEMBERS', outboxes)
for _, to in ipairs(targets) do
  outgoing = outgoing + redis.call('XLEN', outbox_prefix .. to)
end

local gone = redis.pcall('HMGET', pruned, 'count', 'first')
return {
  math.max(0, stored - in_flight),
  in_flight,
  redis.call('ZCARD', scheduled),
  redis.call('ZCARD', dead),
  redis.call('ZSCORE', workers, 'paused') and 1 or 0,
  tonumber(gone[1]) or 0,
  tonumber(gone[2]) or 0,
  tonumber(redis.pcall('HMGET', gate, 'w')[1]) or 0,
  outgoing,
}
