-- Ends messages in flight that were cancelled, each only while this worker holds it.
--
-- KEYS  cancelled, ready:high:released, ready:high, ready:normal:released, ready:normal, ready:low:released, ready:low
-- ARGV  worker, group, then for each message: level (0 to 5), entry, id
-- Returns for each message: 1, or 0 where this worker does not hold it.

local cancelled, READY = KEYS[1], 2
local me, group = ARGV[1], ARGV[2]

local answers = {}
for i = 3, #ARGV, 3 do
  local stream, entry, id = KEYS[READY + ARGV[i]], ARGV[i + 1], ARGV[i + 2]
  answers[#answers + 1] = 0
  if #redis.call('XPENDING', stream, group, entry, entry, 1, me) > 0 then
    redis.call('XACK', stream, group, entry)
    redis.call('XDEL', stream, entry)
    ends_cancelled(cancelled, id)
    answers[#answers] = 1
  end
end
return answers
