-- Puts messages that a limit elsewhere refused back to the front of their lanes, each only while this worker holds it,
-- and closes the lanes for some time.
--
-- KEYS  cancelled, ready:high:released, ready:high, ready:normal:released, ready:normal, ready:low:released, ready:low,
--       then those of the gate, then those of unique keys
-- ARGV  worker, group, then for each message: level (0 to 5), entry, the end of its list's name, its text (with a unique key
--       only what stands before the body), ms to wait, the unique key ('' for none), and then its id and body
-- Returns for each message: 1, 0 where this worker does not hold it, 'cancelled' where it was, and has ended, or the
-- error.

local cancelled, READY = KEYS[1], 2
local me, group = ARGV[1], ARGV[2]
local cancels = any_cancelled(cancelled)
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- A script whose first write only frees may go on where Redis is out of memory, as settling must.
redis.call('ZREM', leases, '')

local answers = {}
for i = 3, #ARGV, 8 do
  local stream, entry, name = KEYS[READY + ARGV[i]], ARGV[i + 1], ARGV[i + 2]
  local text, unique_key, id = ARGV[i + 3], ARGV[i + 5], ARGV[i + 6]
  if #redis.call('XPENDING', stream, group, entry, entry, 1, me) == 0 then
    answers[#answers + 1] = 0
  elseif cancels and ends_cancelled(cancelled, unique_key ~= '' and id or id_of(string.match(text, ' (.*)$'))) then
    redis.call('XACK', stream, group, entry)
    redis.call('XDEL', stream, entry)
    answers[#answers + 1] = 'cancelled'
  else
    local key = string.sub(name, 3)
    if unique_key ~= '' then
      text = into_lane_bodies(id, '', text, unique_key, ARGV[i + 7])
    end
    into_lanes({ name }, { text }, 'LPUSH')
    if refused[name] and unique_key ~= '' then
      redis.call('HDEL', lane_bodies, id)
    end
    if refused[name] then
      answers[#answers + 1], refused[name] = refused[name], nil
    else
      local at = redis.call('ZMSCORE', open, key)[1] or redis.call('ZMSCORE', full, key)[1]
      -- Half a microsecond more says that no rate has closed it.
      redis.call('ZADD', closed, 'GT', string.format('%.1f', now + ARGV[i + 4] * 1000 + 0.5), key)
      redis.call('ZREM', open, key)
      redis.call('ZREM', full, key)
      if at then
        redis.call('ZADD', resting, 'GT', at, key)
      end
      if unique_key ~= '' then
        stored_as[#answers + 1] = 'l:' .. id
      end
      -- It is stored again: only now may it go here.
      redis.call('XACK', stream, group, entry)
      redis.call('XDEL', stream, entry)
      answers[#answers + 1] = 1
    end
  end
end
-- A worker that waits learns when the lanes open.
wake_one()
return answers
