-- Keeps how a message ended, unless that is kept already, and tells who waits for it.
--
-- KEYS  result of the message
-- ARGV  ms that it is kept, record, channel
-- Returns 1, or 0 where there was one.

local keep_ms, record, channel = ARGV[1], ARGV[2], ARGV[3]

if not redis.call('SET', KEYS[1], record, 'PX', keep_ms, 'NX') then
  return 0
end
-- Who waits looks again by itself.
redis.pcall('PUBLISH', channel, '')
return 1
