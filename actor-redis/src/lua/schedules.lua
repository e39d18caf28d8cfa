-- What a queue's schedules are made of. Stands before the scripts that change them.
--
-- KEYS  schedules, schedules:specs, schedules:states, schedules:names, schedules:declared, schedules:clock, wake, and
--       those of the script
-- ARGV  those of the script
-- Returns nothing.

local schedules, specs, states, names, declared, clock, wake = unpack(KEYS, 1, 7)
-- The score of a schedule that does not fire.
local OFF = '1000000000000000'
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- A time in ms, exactly.
local function whole(ms)
  return string.format('%.0f', ms)
end

local function read_state(name)
  local text = redis.call('HMGET', states, name)[1]
  return text and cjson.decode(text)
end

local function fires(state)
  return not (state.paused or state.parked or state.undeclared)
end

local function write_state(name, state, due)
  redis.call('HSET', states, name, cjson.encode(state))
  redis.call('ZADD', schedules, fires(state) and due or OFF, name)
end

local function next_revision()
  local revision = (tonumber(redis.call('HMGET', clock, 'revision')[1]) or 0) + 1
  redis.call('HSET', clock, 'revision', whole(revision))
  return revision
end

-- Its ticks begin now: a worker finds the first.
local function begin(state)
  state.revision, state.since, state.tick = next_revision(), whole(now), nil
end

local function remove(name)
  redis.call('ZREM', schedules, name)
  redis.call('HDEL', specs, name)
  redis.call('HDEL', states, name)
  redis.call('ZREM', names, name)
  redis.call('ZREM', declared, name)
end

local function timing_of(spec)
  return string.match(spec, '^[^\n]*')
end

-- Stores a schedule. Returns 1, or 0 where an actor declares it and a program wants to store another.
local function put(name, spec, is_declared)
  local state = read_state(name)
  if state and state.declared and not state.undeclared and not is_declared then
    return 0
  end
  local former = redis.call('HMGET', specs, name)[1]
  local is_new = not state or not former or state.parked or state.undeclared or timing_of(former) ~= timing_of(spec)
  state = state or {}
  if not is_new and former == spec and (state.declared or false) == is_declared then
    return 1
  end
  state.parked, state.undeclared, state.declared = nil, nil, is_declared or nil
  local due = now
  if is_new then
    begin(state)
  else
    state.revision = next_revision()
    due = redis.call('ZSCORE', schedules, name) or now
  end
  redis.call('HSET', specs, name, spec)
  redis.call('ZADD', names, 0, name)
  if not is_declared then
    redis.call('ZREM', declared, name)
  end
  write_state(name, state, due)
  return 1
end

-- Has one worker look at what is due.
local function wake_one()
  redis.pcall('XADD', wake, 'MAXLEN', 1, '*', 'w', 1)
end

