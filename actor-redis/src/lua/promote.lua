-- Moves messages whose time has come to the end of their level's ready stream, or into their lanes.
--
-- KEYS  scheduled, scheduled:bodies, scheduled:lanes, wake, ready:high, ready:normal, ready:low, then those of the gate
-- ARGV  how many at most, group, the worker where `wake` has woken it ('' else)
-- Returns the ms until the next is due (0 where more are due, -1 where none waits), and when this was, in ms since
-- 1970.

local scheduled, bodies, lanes, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local ready = { high = KEYS[5], normal = KEYS[6], low = KEYS[7] }
local suspects = { ['high+'] = KEYS[5], ['normal+'] = KEYS[6], ['low+'] = KEYS[7] }
local limit, group, woken = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

if woken ~= '' then
  -- It sees to what it was woken for: nothing is left of that.
  redis.pcall('XGROUP', 'DELCONSUMER', wake, group, woken)
end

local function next_ms()
  local due = redis.call('ZRANGE', scheduled, 0, 0, 'WITHSCORES')[2]
  return due and math.max(0, math.ceil(due - now)) or -1
end

local first_ms = next_ms()
if first_ms ~= 0 then
  return { first_ms, now }
end

-- A script whose first write only frees may go on where Redis is out of memory, as moving must.
redis.call('ZREM', scheduled, '')
-- Without the scores, whose text costs more than the rest of it.
local members = redis.call('ZRANGEBYSCORE', scheduled, '-inf', string.format('%.0f', now), 'LIMIT', 0, limit)

-- What goes into lanes, by place among the members: the ends of the lists' names, and the texts.
local names, texts, laned = {}, {}, {}

-- Moves one message, or takes note of it for its lane. Returns the stream's answer.
local function move(place, body)
  note_read(body)
  local member = members[place]
  local level = string.match(member, '^[^:]*')
  if suspects[level] then
    return redis.pcall('XADD', suspects[level], '*', 'm', body, 'suspect', 1)
  elseif ready[level] then
    return redis.pcall('XADD', ready[level], '*', 'm', body)
  end
  local letter, suspect = string.match(level, '^(%a)%a*(%+?)@$')
  local taken = letter and redis.call('HMGET', lanes, member)[1]
  local cost, key = string.match(taken or '', '^(%d+) (.*)$')
  if not cost then
    return redis.pcall('XADD', ready.normal, '*', 'm', body)
  end
  local n = #names + 1
  names[n], texts[n] = letter .. ':' .. key, suspect .. cost .. ' ' .. body
  laned[place] = names[n]
end

local moved, refusal = 0, nil
-- The first moves in any case, so that it goes on.
while moved < #members and not refusal and not (is_read_enough() and moved > 0) do
  local page = redis.call('HMGET', bodies, unpack(members, moved + 1, moved + at_once(#members - moved)))
  for i = 1, #page do
    -- What has no body is only an index.
    local added = page[i] and move(moved + 1, page[i])
    if type(added) == 'table' then
      refusal = added
      break
    end
    moved = moved + 1
    if is_read_enough() then
      break
    end
  end
end
if #names > 0 then
  into_lanes(names, texts)
  if next(refused) then
    -- What its lane does not take now stays scheduled.
    local taken = {}
    for place = 1, moved do
      local why = laned[place] and refused[laned[place]]
      if why then
        refusal = refusal or why
      else
        taken[#taken + 1] = members[place]
      end
    end
    members, moved = taken, #taken
  end
end
if moved > 0 then
  redis.call('ZREM', scheduled, unpack(members, 1, moved))
  redis.call('HDEL', bodies, unpack(members, 1, moved))
  if #names > 0 then
    redis.call('HDEL', lanes, unpack(members, 1, moved))
  end
end
return refusal or { next_ms(), now }
