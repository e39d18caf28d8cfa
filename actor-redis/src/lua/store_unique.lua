-- Stores messages, each unless another one stands for it by its unique key or its idempotency key.
--
-- KEYS  ready:high:released, ready:high, ready:normal:released, ready:normal, ready:low:released, ready:low, then those of the
--       gate, where there is one, then those of unique keys
-- ARGV  group, ms within which workers check for themselves, what the keys of windows and of idempotency keys begin with, whether
--       what comes after one that is refused is left, then for each message: id, level (1, 3 or 5), body, unique key ('' for none), and what else it says: '' for a message that is
--       ready at once and keeps others out until it is done, else its ms to wait, how its key is held (`keep`, `replace`,
--       `run_again`, `postpone` or `window`), the ms of that (`-` for no bound), the ms that its idempotency key is remembered, the
--       length of that key, the cost in its lane (`-` for no lane), and then without a blank the idempotency key and the lane's
-- Returns for each message: 1, `=` and the id of the one that stands for it, `-` and the id of the one whose place it took, or the
-- error.

local group, check_ms, windows, idempotent, stops = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5] == '1'
local FIRST, WIDTH = 6, 5
-- Until when a message is scheduled that follows another: that one's end comes first.
local FOLLOWS_MS = 100 * 365 * 24 * 3600 * 1000
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- When the first message was due before, and when the first of these is.
local known, soonest
local is_lane_open
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
    known = known or tonumber(redis.call('ZRANGE', due_times, 0, 0, 'WITHSCORES')[2]) or math.huge
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

-- What a message says, from its arguments on.
local function read_message(at)
  local delay, how, number, once_ms, length, cost, from =
    string.match(ARGV[at + 4], '^(%d+) (%S+) (%S+) (%d+) (%d+) (%S+) ()')
  local key, rest = ARGV[at + 3], string.sub(ARGV[at + 4], from or 1)
  length = tonumber(length) or 0
  return {
    id = ARGV[at],
    level = tonumber(ARGV[at + 1]),
    delay = tonumber(delay) or 0,
    body = ARGV[at + 2],
    key = key,
    holds = key ~= '' and how ~= 'window',
    on_conflict = how or 'keep',
    window = how == 'window' and number or nil,
    max_wait = how == 'postpone' and tonumber(number) or nil,
    once = length > 0 and string.sub(rest, 1, length) or nil,
    once_ms = once_ms,
    lane = cost and cost ~= '-' and string.sub(rest, length + 1) or nil,
    cost = cost,
  }
end

-- Most keys are held by nobody: for all of those one command reads that, and another one writes who holds them now.
local free = {}
local wanted = {}
for i = FIRST, #ARGV, WIDTH do
  if ARGV[i + 3] ~= '' then
    wanted[#wanted + 1] = ARGV[i + 3]
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

local answers, xadd = {}, redis.pcall
for i = FIRST, #ARGV, WIDTH do
  local level, key, is_plain, answer = ARGV[i + 1], ARGV[i + 3], ARGV[i + 4] == '', nil
  if is_plain and free[key] then
    answer = xadd('XADD', KEYS[1 + level], '*', 'm', ARGV[i + 2], 'u', key)
    if type(answer) ~= 'table' then
      local n = #taken
      taken[n + 1], taken[n + 2] = key, ARGV[i] .. now_text .. level .. ':' .. answer
      free[key], taken_by[key], answer = false, ARGV[i], 1
    end
  elseif is_plain and taken_by[key] then
    answer = '=' .. taken_by[key]
  elseif is_plain and key == '' then
    answer = xadd('XADD', KEYS[1 + level], '*', 'm', ARGV[i + 2])
    answer = type(answer) == 'table' and answer or 1
  else
    write_holders()
    local ok
    ok, answer = pcall(store_once, read_message(i))
    if not ok then
      answer = redis.error_reply(type(answer) == 'table' and answer.err or answer)
    end
    free[key] = false
  end
  answers[#answers + 1] = answer
  if stops and type(answer) == 'table' then
    break
  end
end
write_holders()

if is_lane_open then
  wake_one()
end
if soonest and soonest < math.min(known, now + check_ms) then
  redis.pcall('XADD', due_wake, 'MAXLEN', 1, '*', 'w', 1)
end
return answers
