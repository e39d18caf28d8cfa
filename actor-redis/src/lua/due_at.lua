-- Has scheduled messages become due at another time. What follows another message is still due no sooner than that one
-- gives up its key.
--
-- KEYS  scheduled, wake, then those of unique keys
-- ARGV  ms within which workers check for themselves, ms from now, when to be due in ms since 1970 ('' for so long from
--       now), then the members
-- Returns how many are scheduled, how many of them were due at another time, and when they are due.

local scheduled, wake = KEYS[1], KEYS[2]
local check_ms, delay_ms, due = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local FIRST = 4
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
due = due or now + delay_ms

-- A script whose first write only frees may go on where Redis is out of memory, as moving must.
redis.call('ZREM', scheduled, '')
local known = redis.call('ZRANGE', scheduled, 0, 0, 'WITHSCORES')[2]
local found, moved, scores = 0, 0, {}

-- Whether a member follows another message: it is due then once that one gives up its key.
local function postpone_follower(member)
  local key = select(5, read_member(member))
  local id, was_due, since, follower = read_follower(key and redis.call('HMGET', followers, key)[1])
  if follower ~= member then
    return false
  end
  local now_due = string.format('%.0f', due)
  if was_due ~= now_due then
    redis.call('HSET', followers, key, id .. ' ' .. now_due .. ' ' .. since .. ' ' .. member)
    moved = moved + 1
  end
  return true
end

local seen = redis.call('ZMSCORE', scheduled, unpack(ARGV, FIRST))
for i = FIRST, #ARGV do
  if seen[i - FIRST + 1] then
    found = found + 1
    if not postpone_follower(ARGV[i]) then
      scores[#scores + 1] = string.format('%.0f', due)
      scores[#scores + 1] = ARGV[i]
    end
  end
end
if #scores > 0 then
  moved = moved + redis.call('ZADD', scheduled, 'XX', 'CH', unpack(scores))
  if due < now + check_ms and due < tonumber(known) then
    redis.pcall('XADD', wake, 'MAXLEN', 1, '*', 'w', 1)
  end
end
return { found, moved, string.format('%.0f', due) }
