-- Which messages were cancelled in flight: they must not be stored again. Stands before the scripts that use it.
--
-- KEYS  those of the script
-- ARGV  those of the script
-- Returns nothing.

-- How long a message stays cancelled.
local CANCELLED_MS = 24 * 3600 * 1000

-- Asked once a call: most queues have none, and then nothing more is asked.
local function any_cancelled(cancelled)
  return redis.call('EXISTS', cancelled) == 1
end

local function is_cancelled(cancelled, id)
  return id and redis.call('ZSCORE', cancelled, id) and true or false
end

-- Whether a message was cancelled, and so ends here: whoever looks for it learns of that by the note.
local function ends_cancelled(cancelled, id)
  local noted = id and redis.call('ZSCORE', cancelled, id)
  if noted then
    redis.call('ZREM', cancelled, id)
    redis.call('ZADD', cancelled, noted, id .. ':ended')
  end
  return noted and true or false
end

-- The id in a message's body, as the library writes ids; nothing where there is none.
local function id_of(body)
  local id = string.match(body or '', '^{"v":%d+,"id":"([%x-]+)"')
  if not id then
    local is_read, message = pcall(cjson.decode, body)
    id = is_read and type(message) == 'table' and message.id
  end
  return type(id) == 'string' and string.lower(id) or nil
end

-- Each is noted later than all before it, in microseconds, so that a worker knows by one number what it has heard.
local function note_cancelled(cancelled, workers, ids)
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  local over = redis.call('ZRANGEBYSCORE', cancelled, '-inf', now - CANCELLED_MS * 1000, 'LIMIT', 0, 100)
  if #over > 0 then
    redis.call('ZREM', cancelled, unpack(over))
  end
  local last = redis.call('ZRANGE', cancelled, -1, -1, 'WITHSCORES')[2]
  local noted = math.max(now, (tonumber(last) or 0) + 1)
  for i, id in ipairs(ids) do
    redis.call('ZADD', cancelled, string.format('%.0f', noted + i - 1), id)
  end
  redis.call('PEXPIRE', cancelled, CANCELLED_MS)
  -- Every heartbeat sees it. A queue that never had a worker is not made to look as if it had.
  if redis.call('EXISTS', workers) == 1 then
    redis.call('ZADD', workers, -1, 'cancelled')
  end
end

