-- Moves messages whose time has come to the end of their level's ready stream, or into their lanes.
--
-- KEYS  scheduled, scheduled:bodies, scheduled:lanes, wake, ready:high, ready:normal, ready:low, then those of the gate,
--       then those of unique keys
-- ARGV  how many at most, group, the worker where `wake` has woken it ('' else)
-- Returns the ms until the next is due (0 where more are due, -1 where none waits), and when this was, in ms since
-- 1970.

local scheduled, bodies, lanes, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local ready = { high = KEYS[5], normal = KEYS[6], low = KEYS[7] }
local suspects = { ['high+'] = KEYS[5], ['normal+'] = KEYS[6], ['low+'] = KEYS[7] }
local levels = { high = 1, normal = 3, low = 5 }
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
-- Of those that hold unique keys: their places among the members, the keys, where they were and where they are.
local numbers, keys, from, to = {}, {}, {}, {}

-- Notes where a message is now that holds a unique key.
local function note_moved(place, key, moved_to)
  local n = #keys + 1
  numbers[n], keys[n], from[n], to[n] = place, key, 's:' .. members[place], moved_to
end

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
  local name, suspect, cost, lane_key, key, id = read_member(member)
  if cost then
    local n = #names + 1
    names[n] = string.sub(name, 1, 1) .. ':' .. lane_key
    texts[n] = key and into_lane_bodies(id, suspect, cost, key, body) or suspect .. cost .. ' ' .. body
    laned[place] = names[n]
    if key then
      note_moved(place, key, 'l:' .. id)
    end
    return
  end
  local fields = suspect == '+' and { 'm', body, 'suspect', 1 } or { 'm', body }
  if key then
    fields[#fields + 1], fields[#fields + 2] = 'u', key
  end
  local added = redis.pcall('XADD', ready[name] or ready.normal, '*', unpack(fields))
  if key and type(added) ~= 'table' then
    note_moved(place, key, (levels[name] or levels.normal) .. ':' .. added)
  end
  return added
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
    local taken, stays = {}, {}
    for place = 1, moved do
      local why = laned[place] and refused[laned[place]]
      if why then
        refusal, stays[place] = refusal or why, true
      else
        taken[#taken + 1] = members[place]
      end
    end
    for n = 1, #keys do
      if stays[numbers[n]] then
        redis.call('HDEL', lane_bodies, string.sub(to[n], 3))
        to[n] = from[n]
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
if #keys > 0 then
  for n = 1, #keys do
    if to[n] ~= from[n] then
      redis.call('HDEL', due_unique, string.sub(from[n], 3))
    end
  end
  move_holders(keys, from, to)
end
return refusal or { next_ms(), now }
