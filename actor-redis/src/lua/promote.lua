-- Moves messages whose time has come to the end of their level's ready stream, or into their lanes.
--
-- KEYS  scheduled, scheduled:bodies, wake, ready:high, ready:normal, ready:low, then those of the gate, then those of
--       unique keys
-- ARGV  how many at most, group, the worker where `wake` has woken it ('' else)
-- Returns the ms until the next is due (0 where more are due, -1 where none waits), and when this was, in ms since
-- 1970.

local scheduled, bodies, wake = KEYS[1], KEYS[2], KEYS[3]
local ready = { high = KEYS[4], normal = KEYS[5], low = KEYS[6] }
local levels = { high = 1, normal = 3, low = 5 }
local limit, group, woken = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

if woken ~= '' then
  -- It sees to what it was woken for: nothing is left of that.
  redis.pcall('XGROUP', 'DELCONSUMER', wake, group, woken)
end

-- One more than may move, so that the next due time is known without asking again.
local waiting = redis.call('ZRANGE', scheduled, 0, limit, 'WITHSCORES')
local members = {}
local next_ms = -1
for i = 1, #waiting, 2 do
  local due = tonumber(waiting[i + 1])
  if due > now or #members == limit then
    next_ms = math.max(0, math.ceil(due - now))
    break
  end
  members[#members + 1] = waiting[i]
end
if #members == 0 then
  return { next_ms, now }
end

-- A script whose first write only frees may go on where Redis is out of memory, as moving must.
redis.call('ZREM', scheduled, '')
-- What was read for want of a time counts too, but the first moves in any case, so that it goes on.
local moved, refusal = {}, nil
local names, texts, laned = {}, {}, {}
local keys, from, to = {}, {}, {}
for _, member in ipairs(members) do
  if is_read_enough() and #moved > 0 then
    next_ms = 0
    break
  end
  local body = redis.call('HMGET', bodies, member)[1]
  if body then
    note_read(body)
    local level, suspect, cost, lane_key, key, name = read_member(member)
    local place
    if cost then
      names[#names + 1] = string.sub(level, 1, 1) .. ':' .. lane_key
      texts[#texts + 1] = key and into_lane_bodies(name, suspect, cost, key, body) or suspect .. cost .. ' ' .. body
      laned[member] = names[#names]
      place = 'l:' .. name
    else
      local fields = suspect == '+' and { 'm', body, 'suspect', 1 } or { 'm', body }
      if key then
        fields[#fields + 1], fields[#fields + 2] = 'u', key
      end
      local added = redis.pcall('XADD', ready[level] or ready.normal, '*', unpack(fields))
      if type(added) == 'table' then
        refusal = added
        break
      end
      place = (levels[level] or levels.normal) .. ':' .. added
    end
    if key then
      keys[#keys + 1], from[#from + 1], to[#to + 1] = key, 's:' .. member, place
    end
  end
  moved[#moved + 1] = member
end
if #names > 0 then
  into_lanes(names, texts)
  if next(refused) then
    local all = moved
    moved = {}
    for _, member in ipairs(all) do
      local why = laned[member] and refused[laned[member]]
      if why then
        refusal = refusal or why
        local key, name = select(5, read_member(member))
        if key then
          redis.call('HDEL', lane_bodies, name)
        end
      else
        moved[#moved + 1] = member
      end
    end
  end
end
if #moved > 0 then
  redis.call('ZREM', scheduled, unpack(moved))
  redis.call('HDEL', bodies, unpack(moved))
end
if #keys > 0 then
  local was_moved = {}
  for _, member in ipairs(moved) do
    was_moved['s:' .. member] = true
  end
  for i = 1, #keys do
    -- What was refused stays where it is.
    to[i] = was_moved[from[i]] and to[i] or from[i]
  end
  move_holders(keys, from, to)
end
return refusal or { next_ms, now }
