-- The unique keys of a queue, for the scripts after it: takes its keys from the end of KEYS.
--
-- The holder of a key is `<id> <ms since 1970 when the first was sent> <place>`, what follows it `<id> <due> <ms of the first> <member
-- of scheduled>`. A place is `<level>:<entry>` or `s:<member of scheduled>`; `l:<name in lanes:bodies>` in a lane.
--
-- KEYS  those of the script, then unique, unique:next, lanes:bodies, scheduled:unique, scheduled, scheduled:bodies,
--       scheduled:lanes, wake, ready:high:released, ready:high, ready:normal:released, ready:normal, ready:low:released,
--       ready:low
-- ARGV  those of the script
-- Returns nothing.

local unique_first, UNIQUE_READY = #KEYS - 13, 8
local holders, followers, lane_bodies = KEYS[unique_first], KEYS[unique_first + 1], KEYS[unique_first + 2]
local due_unique, due_times, due_bodies = KEYS[unique_first + 3], KEYS[unique_first + 4], KEYS[unique_first + 5]
local due_lanes, due_wake = KEYS[unique_first + 6], KEYS[unique_first + 7]
local levels_of_holders = {}
for i = #KEYS, unique_first, -1 do
  if i >= unique_first + UNIQUE_READY then
    levels_of_holders[i - unique_first - UNIQUE_READY] = KEYS[i]
  end
  KEYS[i] = nil
end

-- Id, when the first was sent, place.
local function read_holder(record)
  return string.match(record or '', '^(%S+) (%d+) (.*)$')
end

-- Id, due time, when the first was sent, member.
local function read_follower(record)
  return string.match(record or '', '^(%S+) (%d+) (%d+) (.*)$')
end

-- Notes where messages are now that were elsewhere. Of one that holds its key no more nothing is noted.
local function move_holders(keys, from, to)
  local records, changed = redis.call('HMGET', holders, unpack(keys)), {}
  for i, key in ipairs(keys) do
    local id, since, place = read_holder(records[i])
    if place == from[i] then
      changed[#changed + 1], changed[#changed + 2] = key, id .. ' ' .. since .. ' ' .. to[i]
    end
  end
  if #changed > 0 then
    redis.call('HSET', holders, unpack(changed))
  end
end

-- Frees each key that a message at this place holds. What follows one holds the key from now on, and is due.
local function give_up(keys, places)
  local records, next_ones = redis.call('HMGET', holders, unpack(keys)), redis.call('HMGET', followers, unpack(keys))
  local free = {}
  for i, key in ipairs(keys) do
    local _, _, place = read_holder(records[i])
    local id, due, since, member = read_follower(next_ones[i])
    if place == places[i] then
      if member and redis.call('ZADD', due_times, 'XX', 'CH', due, member) == 1 then
        redis.call('HSET', holders, key, id .. ' ' .. since .. ' s:' .. member)
        redis.pcall('XADD', due_wake, 'MAXLEN', 1, '*', 'w', 1)
      else
        free[#free + 1] = key
      end
      if member then
        redis.call('HDEL', followers, key)
      end
    elseif member and places[i] == 's:' .. member then
      -- What was to follow is gone.
      redis.call('HDEL', followers, key)
    end
  end
  if #free > 0 then
    redis.call('HDEL', holders, unpack(free))
  end
end

-- What is known of a member of `scheduled`: the level, `+` for a suspect, the cost and the key of its lane, its unique
-- key, and the rest, which begins with its id.
local function read_member(member)
  local level, suspect, holds, rest = string.match(member, '^(%a+)(%+?)(@?):(.*)$')
  if holds ~= '@' then
    return level, suspect, nil, nil, nil, rest
  end
  local cost, lane_key = string.match(redis.call('HMGET', due_lanes, member)[1] or '', '^(%d+) (.*)$')
  return level, suspect, cost, lane_key, redis.call('HMGET', due_unique, member)[1] or nil, rest
end

-- Has members of `scheduled` that are there no more give up their keys.
local function free_members(members)
  local known, keys, places = redis.call('HMGET', due_unique, unpack(members)), {}, {}
  for i, key in ipairs(known) do
    if key then
      keys[#keys + 1], places[#places + 1] = key, 's:' .. members[i]
    end
  end
  if #keys > 0 then
    redis.call('HDEL', due_unique, unpack(members))
    give_up(keys, places)
  end
end

-- The unique key of an entry's fields; nothing where it has none.
local function key_of_entry(fields)
  local at = fields[#fields - 1] == 'k' and #fields - 2 or #fields
  return at > 2 and fields[at - 1] == 'u' and fields[at] or nil
end

-- The text of a lane's list for a message that holds a key. Its body stands elsewhere, so that it can be replaced where it
-- waits.
local function into_lane_bodies(name, suspect, cost, key, body)
  redis.call('HSET', lane_bodies, name, #key .. ' ' .. key .. body)
  return suspect .. cost .. '!' .. name .. ' '
end

-- The name in such a text; nothing for another.
local function name_in_lane(text)
  return string.match(text, '^%+?%d+!(%S+) $')
end

-- The key and the body of that name.
local function from_lane_bodies(name)
  local value = redis.call('HMGET', lane_bodies, name)[1]
  local length, from = string.match(value or '', '^(%d+) ()')
  if length then
    return string.sub(value, from, from + length - 1), string.sub(value, from + length)
  end
end

-- Whether a message is `scheduled`, `ready`, `in flight` or in its `lane`; nothing where it is nowhere.
local function state_of(place, group)
  local kind, name = string.match(place, '^([^:]):(.*)$')
  if kind == 's' then
    return redis.call('HEXISTS', due_bodies, name) == 1 and 'scheduled' or nil
  elseif kind == 'l' then
    return redis.call('HEXISTS', lane_bodies, name) == 1 and 'lane' or nil
  end
  local stream = levels_of_holders[tonumber(kind)]
  local pending = redis.pcall('XPENDING', stream, group, name, name, 1)
  if not pending.err and #pending > 0 then
    return 'in flight'
  end
  return #redis.call('XRANGE', stream, name, name) > 0 and 'ready' or nil
end

-- Who holds a key: id, when the first was sent, place, and in what state it is; nothing where nobody does. The key of a
-- message that is nowhere is freed.
local function holder_of(key, group)
  for _ = 1, 3 do
    local id, since, place = read_holder(redis.call('HMGET', holders, key)[1])
    local state = id and state_of(place, group)
    if state or not id then
      return id, since, place, state
    end
    give_up({ key }, { place })
  end
end

