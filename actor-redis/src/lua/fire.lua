-- Moves schedules on, each with its messages, and only as long as it is what the worker has read: of the same revision,
-- due, and for the same tick. So a tick is fired once, whoever fires it and however often.
--
-- KEYS  those of schedules.lua, schedules:open, scheduled, ready:high:released, ready:high, ready:normal:released,
--       ready:normal, ready:low:released, ready:low, then those of the gate
-- ARGV  for each schedule: name, revision, tick ('' for none), 1 where it passes while its last message is not settled;
--       its next tick and when that is due, or '' and why it is parked; the tick of its last message ('' for none); how
--       many messages, and for each of them: level (0 to 5), id, body, and the end of its lane's name ('' for none); the
--       body of one in a lane has its cost before it
-- Returns for each schedule: 1, 2 where its message was left out, 0 where nothing happened, or an error; then ms until
-- the next schedule is due (-1 where none will be).

local unsettled, scheduled = KEYS[8], KEYS[9]
local STREAMS, READY = 6, 10
-- How many entries are searched in each stream for a message that was stored again.
local FEW = 100

-- Whether a stream holds this message after an entry: true also where it has too many entries to say.
local function may_hold(stream, after, id)
  local entries, more = read_entries(stream, after, '+', FEW)
  for _, entry in ipairs(entries) do
    if string.find(entry[2][2] or '', id, 1, true) then
      return true
    end
  end
  return more
end

-- Whether a tick's message waits or is in flight. One that is nowhere was deleted by hand: nobody settles it.
local function is_unsettled(id)
  local place = redis.call('HMGET', unsettled, id)[1]
  if not place then
    return false
  end
  local level, entry = string.match(place, '^(%d) (.*)$')
  local list = not level and lane .. string.sub(place, 2)
  if list then
    -- It waited in its lane.
    if redis.call('LLEN', list) > FEW then
      return true
    end
    for _, text in ipairs(redis.call('LRANGE', list, 0, -1)) do
      if string.find(text, id, 1, true) then
        return true
      end
    end
    entry = '0-0'
  elseif #redis.call('XRANGE', KEYS[READY + level], entry, entry) > 0 then
    return true
  end
  local members = {}
  for _, priority in ipairs({ 'high', 'normal', 'low' }) do
    members[#members + 1] = priority .. ':' .. id
    members[#members + 1] = priority .. '+:' .. id
    members[#members + 1] = priority .. '@:' .. id
    members[#members + 1] = priority .. '+@:' .. id
  end
  for _, score in ipairs(redis.call('ZMSCORE', scheduled, unpack(members))) do
    if score then
      return true
    end
  end
  for stream = 0, STREAMS - 1 do
    if may_hold(KEYS[READY + stream], '(' .. entry, id) then
      return true
    end
  end
  redis.call('HDEL', unsettled, id)
  return false
end

-- Fires one schedule, whose arguments begin here.
local function fire(at, count)
  local name, revision, tick, alone = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3] == '1'
  local next_tick, next_due, last = ARGV[at + 4], ARGV[at + 5], ARGV[at + 6]
  local state, due = read_state(name), redis.call('ZSCORE', schedules, name)
  local is_it = state and due and fires(state) and whole(state.revision) == revision and (state.tick or '') == tick
  if not is_it or tonumber(due) > now then
    return 0
  end
  local held = alone and count > 0 and state.id and is_unsettled(state.id)
  for i = at + 8, not held and at + 4 + 4 * count or 0, 4 do
    local list, where = ARGV[i + 3], nil
    if list == '' then
      where = ARGV[i] .. ' ' .. redis.call('XADD', KEYS[READY + ARGV[i]], '*', 'm', ARGV[i + 2])
    else
      if into_lanes({ list }, { ARGV[i + 2] }) then
        wake_one()
      end
      if refused[list] then
        error(refused[list])
      end
      where = '@' .. list
    end
    state.last, state.fired, state.id = last, whole(now), ARGV[i + 1]
    if alone then
      redis.call('HSET', unsettled, state.id, where)
    end
  end
  if next_tick == '' then
    state.parked = next_due
  else
    state.tick = next_tick
  end
  write_state(name, state, next_due)
  return held and 2 or 1
end

local answers, at = {}, 1
while at < #ARGV do
  local count = tonumber(ARGV[at + 7])
  local ok, answer = pcall(fire, at, count)
  if not ok then
    answer = redis.error_reply(type(answer) == 'table' and answer.err or answer)
  end
  answers[#answers + 1] = answer
  at = at + 8 + 4 * count
end
local first = redis.call('ZRANGE', schedules, 0, 0, 'WITHSCORES')[2]
answers[#answers + 1] = (not first or first == OFF) and -1 or math.max(0, math.ceil(first - now))
return answers
