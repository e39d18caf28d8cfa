-- Has the queue go by what is declared and what is set of its limits, for the scripts after it.
--
-- KEYS  those of the script
-- ARGV  those of the script
-- Returns nothing.

local FIELDS = { 'c', 'ri', 'rb', 'kc', 'kri', 'krb', 'fair' }

-- What is set wins over what is declared.
local function apply_limits()
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  local known = redis.call('HMGET', gate, 'd', 'ri', 'rb', 'kri', 'krb', 't')
  local set = redis.call('HMGET', gate, 'o:c', 'o:ri', 'o:rb', 'o:kc', 'o:kri', 'o:krb')
  local is, fields, n = {}, {}, 0
  for value in string.gmatch(known[1] or '- - - - - - -', '%S+') do
    n = n + 1
    local field = FIELDS[n]
    if not field then
      break
    end
    is[field] = set[n] or value
    fields[#fields + 1], fields[#fields + 2] = field, is[field]
  end
  redis.call('HSET', gate, unpack(fields))

  -- What is used up of another rate is no more than all that starts at once.
  local interval, lane_interval = tonumber(is.ri), tonumber(is.kri)
  if interval and (known[2] ~= is.ri or known[3] ~= is.rb) then
    local most = now + tonumber(is.rb) * interval
    if (tonumber(known[6]) or 0) > most then
      redis.call('HSET', gate, 't', string.format('%.0f', most))
    end
  end
  if known[4] ~= is.kri or known[5] ~= is.krb then
    if lane_interval then
      local most = string.format('%.0f', now + tonumber(is.krb) * lane_interval)
      for _, key in ipairs(redis.call('ZRANGEBYSCORE', allowed, '(' .. most, '+inf', 'LIMIT', 0, MOST_LANES)) do
        -- A rate of its own has used it up.
        local own = redis.call('HMGET', limits, key)[1]
        if not own or string.match(own, '^%S+ (%S+)') == '=' then
          redis.call('ZADD', allowed, most, key)
        end
      end
    end
    open_closed(redis.call('ZRANGE', closed, 0, MOST_LANES - 1, 'WITHSCORES'), now)
  end
  open_full(redis.call('ZRANGE', full, 0, MOST_LANES - 1, 'WITHSCORES'))
  wake_one()
end

