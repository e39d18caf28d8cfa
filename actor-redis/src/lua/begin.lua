-- Notes that the runs of messages in flight begin: each gives up its unique key, where this worker holds the message.
--
-- KEYS  ready:high:released, ready:high, ready:normal:released, ready:normal, ready:low:released, ready:low, then those of
--       unique keys
-- ARGV  worker, group, then for each message: level (0 to 5), entry, unique key ('' for none)
-- Returns for each message: 1, or 0 where this worker does not hold it.

local me, group = ARGV[1], ARGV[2]

-- A script whose first write only frees may go on where Redis is out of memory, as running must.
redis.call('HDEL', holders, '')

local answers = {}
for i = 3, #ARGV, 3 do
  local level, entry, key = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local is_mine = #redis.call('XPENDING', KEYS[1 + level], group, entry, entry, 1, me) > 0
  if is_mine and key ~= '' then
    give_up({ key }, { level .. ':' .. entry })
  end
  answers[#answers + 1] = is_mine and 1 or 0
end
return answers
