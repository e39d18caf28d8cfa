-- Stores messages, each unless another one stands for it by its unique key or its idempotency key.
--
-- KEYS  ready:high:released, ready:high, ready:normal:released, ready:normal, ready:low:released, ready:low, then those of the
--       gate, then those of unique keys
-- ARGV  group, ms within which workers check for themselves, what the keys of windows and of idempotency keys begin with, then
--       for each message: id, level (0 to 5), member of scheduled, ms to wait, body, unique key ('' for none), what becomes of it
--       where that is held, ms of its window ('' for none), ms that it may be postponed ('' for no bound), idempotency key ('' for
--       none), ms that this is remembered, the end of its lane's name ('' for none), its cost
-- Returns for each message: 1, `=` and the id of the one that stands for it, `-` and the id of the one whose place it took, or the
-- error.

local group, check_ms, windows, idempotent = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local FIRST, WIDTH = 5, 13
-- Until when a message is scheduled that follows another: that one's end comes first.
local FOLLOWS_MS = 100 * 365 * 24 * 3600 * 1000
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local known = tonumber(redis.call('ZRANGE', due_times, 0, 0, 'WITHSCORES')[2])
local soonest, is_lane_open

local function text(number)
  return string.format('%.0f', number)
end

local function schedule(message, due)
  redis.call('ZADD', due_times, due, message.member)
  redis.call('HSET', due_bodies, message.member, message.body)
  if message.list ~= '' then
    redis.call('HSET', due_lanes, message.member, message.cost .. ' ' .. string.sub(message.list, 3))
  end
  if message.holds then
    redis.call('HSET', due_unique, message.member, message.key)
  end
  return 's:' .. message.member
end

-- Stores a message for when it is due, and returns its place.
local function put(message, due, level)
  if due > now then
    soonest = math.min(soonest or due, due)
    return schedule(message, due)
  elseif message.list ~= '' then
    local listed = message.cost .. ' ' .. message.body
    if message.holds then
      listed = into_lane_bodies(message.id, '', message.cost, message.key, message.body)
    end
    is_lane_open = into_lanes({ message.list }, { listed }) or is_lane_open
    local why = refused[message.list]
    if why then
      refused[message.list] = nil
      redis.call('HDEL', lane_bodies, message.id)
      error(why)
    end
    return 'l:' .. message.id
  end
  local added
  if message.holds then
    added = redis.call('XADD', KEYS[1 + level], '*', 'm', message.body, 'u', message.key)
  else
    added = redis.call('XADD', KEYS[1 + level], '*', 'm', message.body)
  end
  return level .. ':' .. added
end

local function remove(place, state)
  local name = string.sub(place, 3)
  if state == 'ready' then
    local stream = KEYS[1 + string.sub(place, 1, 1)]
    for _, entry in ipairs(redis.call('XRANGE', stream, name, name)) do
      for i = 3, #entry[2], 2 do
        local cost, lane_key = string.match(entry[2][i + 1], '^(%d+) %d+ (.*)$')
        if entry[2][i] == 'k' and cost then
          free_slots({ lane_key }, { tonumber(cost) }, { 0 }, { 0 }, 0, 0)
        end
      end
    end
    redis.call('XDEL', stream, name)
  else
    redis.call('ZREM', due_times, name)
    redis.call('HDEL', due_bodies, name)
    redis.call('HDEL', due_lanes, name)
    redis.call('HDEL', due_unique, name)
  end
end

-- Has a message follow the one that holds its key.
local function follow(message, follower)
  local id, due, since, member = read_follower(follower)
  if id and message.on_conflict == 'run_again' then
    return '=' .. id
  end
  local at, first = now + message.delay, now
  if id then
    first = tonumber(since)
    if message.on_conflict == 'replace' then
      at = math.min(at, due)
    elseif message.max_wait then
      at = math.min(at, since + message.max_wait)
    end
  end
  schedule(message, now + FOLLOWS_MS)
  redis.call('HSET', followers, message.key, message.id .. ' ' .. text(at) .. ' ' .. text(first) .. ' ' .. message.member)
  if id then
    remove('s:' .. member, 'scheduled')
    return '-' .. id
  end
  return 1
end

local function store(message)
  local key, id = message.key, message.id
  if message.window ~= '' then
    local existing = redis.call('GET', windows .. key)
    if existing then
      return '=' .. existing
    end
    put(message, now + message.delay, message.level)
    redis.call('SET', windows .. key, id, 'PX', message.window)
    return 1
  elseif not message.holds then
    put(message, now + message.delay, message.level)
    return 1
  end
  local old, since, place, state = holder_of(key, group)
  if not old then
    redis.call('HSET', holders, key, id .. ' ' .. text(now) .. ' ' .. put(message, now + message.delay, message.level))
    return 1
  elseif message.on_conflict == 'keep' then
    return '=' .. old
  end
  -- What has followed since is newer than a message in flight that waits again.
  local follower = redis.call('HMGET', followers, key)[1]
  if state == 'in flight' or follower then
    return follow(message, follower)
  elseif message.on_conflict == 'run_again' then
    return '=' .. old
  elseif state == 'lane' then
    into_lane_bodies(string.sub(place, 3), '', '', key, message.body)
    redis.call('HSET', holders, key, id .. ' ' .. since .. ' ' .. place)
    return '-' .. old
  end
  local due, level = now + message.delay, message.level
  if message.on_conflict == 'postpone' then
    due = message.max_wait and math.min(due, since + message.max_wait) or due
  elseif state == 'scheduled' then
    due = math.min(due, tonumber(redis.call('ZSCORE', due_times, string.sub(place, 3)) or due))
  else
    due = now
  end
  if state == 'ready' then
    -- It goes before the others of its priority, so that it is not put off for ever.
    level = level - level % 2
  end
  redis.call('HSET', holders, key, id .. ' ' .. since .. ' ' .. put(message, due, level))
  remove(place, state)
  return '-' .. old
end

-- The same, once for each idempotency key.
local function store_once(message)
  if message.once == '' then
    return store(message)
  end
  local existing = redis.call('GET', idempotent .. message.once)
  if existing then
    return '=' .. existing
  end
  local answer = store(message)
  local stands = answer ~= 1 and string.match(answer, '^=(.*)$') or message.id
  redis.call('SET', idempotent .. message.once, stands, 'PX', message.once_ms)
  return answer
end

local answers = {}
for i = FIRST, #ARGV, WIDTH do
  local key, window = ARGV[i + 5], ARGV[i + 7]
  local ok, answer = pcall(store_once, {
    id = ARGV[i],
    level = tonumber(ARGV[i + 1]),
    member = ARGV[i + 2],
    delay = tonumber(ARGV[i + 3]),
    body = ARGV[i + 4],
    key = key,
    holds = key ~= '' and window == '',
    on_conflict = ARGV[i + 6],
    window = window,
    max_wait = tonumber(ARGV[i + 8]),
    once = ARGV[i + 9],
    once_ms = ARGV[i + 10],
    list = ARGV[i + 11],
    cost = ARGV[i + 12],
  })
  if not ok then
    answer = redis.error_reply(type(answer) == 'table' and answer.err or answer)
  end
  answers[#answers + 1] = answer
end

if is_lane_open then
  wake_one()
end
if soonest and soonest < now + check_ms and (not known or soonest < known) then
  redis.pcall('XADD', due_wake, 'MAXLEN', 1, '*', 'w', 1)
end
return answers
