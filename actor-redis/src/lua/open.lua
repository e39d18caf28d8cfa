-- Makes the streams that a worker reads and their consumer group, where they are missing.
--
-- KEYS  wake, ready:high:released, ready:high, ready:normal:released, ready:normal, ready:low:released, ready:low
-- ARGV  group
-- Returns how many groups it made.

local group = ARGV[1]

-- A script whose first write only frees may go on where Redis is out of memory: workers must be
-- able to start then, for they are what frees memory.
redis.call('XDEL', KEYS[1], '0-0')

local made = 0
for _, stream in ipairs(KEYS) do
  -- From 0, so that what was added before the group was made is delivered too.
  local answer = redis.pcall('XGROUP', 'CREATE', stream, group, '0', 'MKSTREAM')
  if not answer.err then
    made = made + 1
  elseif not string.find(answer.err, 'BUSYGROUP', 1, true) then
    return answer
  end
end
return made
