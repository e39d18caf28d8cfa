-- Stores messages, each unless another one stands for it by its unique key or its idempotency key.
--
-- KEYS  ready:high:released, ready:high, ready:normal:released, ready:normal, ready:low:released, ready:low, then those of the
--       gate, then those of unique keys
-- ARGV  group, ms within which workers check for themselves, what the keys of windows and of idempotency keys begin with, then
--       for each message: id, level (1, 3 or 5), ms to wait, body, unique key ('' for none), how that is held ('' until it is done,
--       and others are not stored), idempotency key ('' for none) with the ms that it is remembered before it, and the lane ('' for
--       none): its cost, a blank, its key. How a key is held: `window <ms>`, `replace`, `run_again`, or `postpone` with the ms that
--       it may be put off, if there is a bound
-- Returns for each message: 1, `=` and the id of the one that stands for it, `-` and the id of the one whose place it took, or the
-- error.

local group, check_ms, windows, idempotent = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local FIRST, WIDTH = 5, 8
-- Until when a message is scheduled that follows another: that one's end comes first.
local FOLLOWS_MS = 100 * 365 * 24 * 3600 * 1000
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local known = tonumber(redis.call('ZRANGE', due_times, 0, 0, 'WITHSCORES')[2])
local soonest, is_lane_open
local names = { [1] = 'high', [3] = 'normal', [5] = 'low' }

local function text(number)
  return string.format('%.0f', number)
end

local function schedule(message, due)
  local member = names[message.level] .. ((message.lane or message.holds) and '@:' or ':') .. message.id
  redis.call('ZADD', due_times, due, member)
  redis.call('HSET', due_bodies, member, message.body)
  if message.lane then
    redis.call('HSET', due_lanes, member, message.cost .. ' ' .. message.lane)
  end
  if message.holds then
    redis.call('HSET', due_unique, member, message.key)
  end
  return 's:' .. member
end

-- Stores a message for when it is due, and returns its place.
local function put(message, due, level)
  if due > now then
    soonest = math.min(soonest or due, due)
    return schedule(message, due)
  elseif message.lane then
    local list = string.sub(names[message.level], 1, 1) .. ':' .. message.lane
    local listed = message.cost .. ' ' .. message.body
    if message.holds then
      listed = into_lane_bodies(message.id, '', message.cost, message.key, message.body)
    end
    is_lane_open = into_lanes({ list }, { listed }) or is_lane_open
    local why = refused[list]
    if why then
      refused[list] = nil
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
  local scheduled = string.sub(schedule(message, now + FOLLOWS_MS), 3)
  redis.call('HSET', followers, message.key, message.id .. ' ' .. text(at) .. ' ' .. text(first) .. ' ' .. scheduled)
  if id then
    remove('s:' .. member, 'scheduled')
    return '-' .. id
  end
  return 1
end

local function store(message)
  local key, id = message.key, message.id
  if message.window then
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
  if not message.once then
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

-- Most keys are held by nobody: for all of those one command reads that, and another one writes who holds them now.
local wanted, free = {}, {}
for i = FIRST, #ARGV, WIDTH do
  if ARGV[i + 4] ~= '' then
    wanted[#wanted + 1] = ARGV[i + 4]
  end
end
if #wanted > 0 then
  for i, record in ipairs(redis.call('HMGET', holders, unpack(wanted))) do
    free[wanted[i]] = not record
  end
end
local now_text, taken, taken_by = ' ' .. text(now) .. ' ', {}, {}
local function write_holders()
  if #taken > 0 then
    redis.call('HSET', holders, unpack(taken))
    taken, taken_by = {}, {}
  end
end

local answers = {}
for i = FIRST, #ARGV, WIDTH do
  local id, level, key, how, answer = ARGV[i], ARGV[i + 1], ARGV[i + 4], ARGV[i + 5], nil
  local is_plain = key ~= '' and ARGV[i + 6] == '' and ARGV[i + 7] == '' and string.byte(how) ~= 119
  if is_plain and free[key] and ARGV[i + 2] == '0' then
    answer = redis.pcall('XADD', KEYS[1 + level], '*', 'm', ARGV[i + 3], 'u', key)
    if type(answer) ~= 'table' then
      taken[#taken + 1], taken[#taken + 2] = key, id .. now_text .. level .. ':' .. answer
      free[key], taken_by[key], answer = false, id, 1
    end
  elseif is_plain and how == '' and taken_by[key] then
    answer = '=' .. taken_by[key]
  else
    write_holders()
    local kind, number = string.match(how, '^(%S*) ?(%d*)$')
    local once_ms, once = string.match(ARGV[i + 6], '^(%d+) (.*)$')
    local cost, lane_key = string.match(ARGV[i + 7], '^(%d+) (.*)$')
    local ok
    ok, answer = pcall(store_once, {
      id = id,
      level = tonumber(level),
      delay = tonumber(ARGV[i + 2]),
      body = ARGV[i + 3],
      key = key,
      holds = key ~= '' and kind ~= 'window',
      on_conflict = kind == '' and 'keep' or kind,
      window = kind == 'window' and number or nil,
      max_wait = kind == 'postpone' and tonumber(number) or nil,
      once = once,
      once_ms = once_ms,
      lane = lane_key,
      cost = cost,
    })
    if not ok then
      answer = redis.error_reply(type(answer) == 'table' and answer.err or answer)
    end
    free[key] = false
  end
  answers[#answers + 1] = answer
end
write_holders()

if is_lane_open then
  wake_one()
end
if soonest and soonest < now + check_ms and (not known or soonest < known) then
  redis.pcall('XADD', due_wake, 'MAXLEN', 1, '*', 'w', 1)
end
return answers
