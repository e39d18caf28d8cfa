-- Takes a slot out of turn, for the scripts after it.
--
-- KEYS  those of the script
-- ARGV  those of the script
-- Returns nothing.

-- What the last slot was taken from.
local last_taken

-- Whether a rate allows so many starts now, and until when they use it up then.
local function start(until_us, now, cost, each, at_once)
  if not each then
    return true, until_us
  end
  local is_allowed = until_us - (at_once - math.min(cost, at_once)) * each <= now
  return is_allowed, math.max(until_us, now) + cost * each
end

-- Takes the slot of a message of this key, where every limit allows it. Returns its text, or nothing.
local function take_slot(key, cost)
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  local known = redis.call('HMGET', gate, 'c', 'ri', 'rb', 'kc', 'kri', 'krb', 'n', 't', 'v')
  local most, interval, burst = tonumber(known[1]), tonumber(known[2]), tonumber(known[3])
  local lane_most, lane_interval, lane_burst = tonumber(known[4]), tonumber(known[5]), tonumber(known[6])
  local own = redis.call('HMGET', limits, key)[1]
  if own then
    local c, ri, rb = string.match(own, '^(%S+) (%S+) (%S+) ')
    lane_most = c == '=' and lane_most or tonumber(c)
    if ri ~= '=' then
      lane_interval, lane_burst = tonumber(ri), tonumber(rb)
    end
  end
  local taken, runs = tonumber(known[7]) or 0, tonumber(redis.call('HMGET', running, key)[1] or 0)
  if most and taken + math.min(cost, most) > most then
    return nil
  end
  if lane_most and runs + math.min(cost, lane_most) > lane_most then
    return nil
  end
  local shut = tonumber(redis.call('ZMSCORE', closed, key)[1] or 0)
  local may, used = start(tonumber(known[8]) or 0, now, cost, interval, burst)
  local lane_may, lane_used =
    start(tonumber(redis.call('ZMSCORE', allowed, key)[1] or 0), now, cost, lane_interval, lane_burst)
  if not may or not lane_may or shut > now then
    return nil
  end
  redis.call('HSET', gate, 'n', taken + cost, 't', string.format('%.0f', used))
  redis.call('HSET', running, key, runs + cost)
  if lane_interval then
    redis.call('ZADD', allowed, string.format('%.0f', lane_used), key)
  end
  last_taken = { key, cost }
  return cost .. ' 0 ' .. key
end

-- Gives the last slot back: its message did not go.
local function untake_slot()
  redis.call('HINCRBY', gate, 'n', -last_taken[2])
  if redis.call('HINCRBY', running, last_taken[1], -last_taken[2]) <= 0 then
    redis.call('HDEL', running, last_taken[1])
  end
end

