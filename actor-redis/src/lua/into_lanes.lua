-- Puts messages into their lanes, for the scripts after it.
--
-- KEYS  those of the script
-- ARGV  those of the script
-- Returns nothing.

-- Of lanes to which nothing can be added now, by the end of the list's name: why.
local refused = {}

-- Puts each text at the end of the list with this name, or at its front. Returns whether a worker should hear of it.
local function into_lanes(names, texts, put)
  local lists, order, keys, place = {}, {}, {}, {}
  for i, name in ipairs(names) do
    local list = lists[name]
    if not list then
      list = {}
      lists[name], order[#order + 1] = list, name
      local key = string.sub(name, 3)
      if not place[key] then
        keys[#keys + 1] = key
        place[key] = #keys
      end
    end
    list[#list + 1] = texts[i]
  end
  local known = redis.call('HMGET', gate, 'v', 'g', 'p', 'x', 'fair', 'e', 'j')
  if not known[4] then
    for _, text in ipairs(texts) do
      local one, blank = string.byte(text, 1, 2)
      local third = string.sub(text, 1, 3)
      if (one ~= 49 or blank ~= 32 and blank ~= 33) and third ~= '+1 ' and third ~= '+1!' then
        -- Some cost more than one slot: from now on each is looked at before it goes.
        redis.pcall('HSET', gate, 'x', 1)
        break
      end
    end
  end
  local counts = redis.call('HMGET', waiting, unpack(keys))
  local now, ranked, fresh, total, changes = tonumber(known[1]) or 0, known[3], {}, 0, false
  for _, name in ipairs(order) do
    local key = string.sub(name, 3)
    local at, list = place[key], lists[name]
    local before = tonumber(counts[at]) or 0
    local length = redis.pcall(put or 'RPUSH', lane .. name, unpack(list))
    if type(length) == 'table' then
      refused[name] = length
    elseif before > 0 and not ranked and length == #list then
      -- The list is elsewhere, while its slot moves to another member of a cluster.
      redis.call('DEL', lane .. name)
      refused[name] = redis.error_reply('TRYAGAIN the lane is being moved')
    else
      if string.sub(name, 1, 1) ~= 'n' and not ranked then
        redis.call('HSET', gate, 'p', 1)
        ranked = '1'
      end
      changes = true
      if before == 0 then
        fresh[#fresh + 1] = key
      end
      -- The list knows best how many there are.
      local after = ranked and before + #list or length
      counts[at], total = after, total + after - before
    end
  end
  if not changes then
    return false
  end
  local changed = {}
  for i, key in ipairs(keys) do
    if counts[i] then
      changed[#changed + 1], changed[#changed + 2] = key, counts[i]
    end
  end
  redis.call('HSET', waiting, unpack(changed))
  redis.call('HINCRBY', gate, 'w', total)
  if not known[2] then
    -- Workers whose program declares no limits learn by this that there is a gate.
    redis.call('HSET', gate, 'g', 1)
    redis.call('ZADD', leases, -1, 'gated')
  end
  if #fresh == 0 then
    return false
  end
  local shut, times = redis.call('ZMSCORE', closed, unpack(fresh)), redis.call('ZMSCORE', resting, unpack(fresh))
  local opened, rested = {}, {}
  -- Whoever comes goes before the others, whatever it did not use before. Of many that come, each begins a part of a
  -- turn after the one before, and a turn after the others at most: they starve nobody.
  local others = tonumber(redis.call('ZRANGE', open, 0, 0, 'WITHSCORES')[2]) or now
  local turn = known[5] == '1' and tonumber(known[6] or 1) or 1000
  local joined, size = tonumber(known[7]) or 0, redis.call('ZCARD', open)
  for i, key in ipairs(fresh) do
    if not shut[i] then
      local begins = math.max(others - 1, math.min(others + turn, joined + turn / (size + #rested + 1)))
      local rests = tonumber(times[i] or 0)
      if rests < begins then
        rests, joined = begins, begins
      end
      opened[#opened + 1], opened[#opened + 2] = string.format('%.17g', rests), key
      rested[#rested + 1] = key
    end
  end
  if #opened == 0 then
    return false
  end
  redis.call('ZREM', resting, unpack(rested))
  redis.call('ZADD', open, 'NX', unpack(opened))
  redis.call('HSET', gate, 'j', string.format('%.17g', joined))
  return size == 0
end

