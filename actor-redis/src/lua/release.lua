-- Gives lent messages back, before all that waits, each only while this worker holds it.
--
-- KEYS  ready:first, ready:high, ready:normal, ready:low
-- ARGV  worker, group, then for each message: level (0 to 3), entry, body
-- Returns for each message: 1, 0 where this worker does not hold it, or the error.

local first = KEYS[1]
local me, group = ARGV[1], ARGV[2]

-- A script whose first write only frees may go on where Redis is out of memory, as settling must.
redis.call('XDEL', first, '0-0')

local function release(stream, entry, body)
  if #redis.call('XPENDING', stream, group, entry, entry, 1, me) == 0 then
    return 0
  end
  redis.call('XADD', first, '*', 'm', body)
  -- It is stored again: only now may it go here.
  redis.call('XACK', stream, group, entry)
  redis.call('XDEL', stream, entry)
  return 1
end

local answers = {}
for i = 3, #ARGV, 3 do
  local ok, answer = pcall(release, KEYS[1 + ARGV[i]], ARGV[i + 1], ARGV[i + 2])
  if not ok then
    answer = redis.error_reply(type(answer) == 'table' and answer.err or answer)
  end
  answers[#answers + 1] = answer
end
return answers
