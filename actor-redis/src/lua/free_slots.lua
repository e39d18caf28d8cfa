-- Frees the slots of messages, for the scripts after it.
--
-- KEYS  those of the script
-- ARGV  those of the script
-- Returns nothing.

-- Frees what messages of these keys held, by key: slots, us that they ran in all, us that they were charged; and how many
-- messages ran for how long.
local function free_slots(keys, slots, ran, charged, count, ran_us)
  local known = redis.call('HMGET', gate, 'c', 'fair', 'n', 'v', 'e', 'w', 'o', 'x')
  local most, taken, virtual, usual = tonumber(known[1]), tonumber(known[3]) or 0, tonumber(known[4]) or 0, tonumber(known[5])
  -- A lane that waited for a limit of its own, and not for its turn, may be some turns behind the others.
  local behind = virtual - 16 * (known[2] == '1' and math.max(1, usual or 1) or 1000)
  local counts = redis.call('HMGET', running, unpack(keys))
  local fewer, none, freed = {}, {}, 0
  for i, key in ipairs(keys) do
    local left = (tonumber(counts[i]) or 0) - slots[i]
    freed = freed + slots[i]
    if left > 0 then
      fewer[#fewer + 1], fewer[#fewer + 2] = key, left
    else
      none[#none + 1] = key
    end
  end
  if #none > 0 then
    redis.call('HDEL', running, unpack(none))
  end
  if #fewer > 0 then
    redis.call('HSET', running, unpack(fewer))
  end
  local left = math.max(0, taken - freed)
  if count > 0 and ran_us > 0 then
    -- What is newer counts more: the average of about the last eight.
    local average = ran_us / count
    usual = usual and usual + (average - usual) * math.min(1, count / 8) or average
    redis.call('HSET', gate, 'n', left, 'e', string.format('%.0f', math.max(1, usual)))
  else
    redis.call('HSET', gate, 'n', left)
  end

  if left == 0 and (tonumber(known[6]) or 0) <= 0 then
    -- Nobody waits for what others have had.
    redis.call('UNLINK', resting)
    return
  end

  local times = redis.call('ZMSCORE', full, unpack(keys))
  local opened, emptied = {}, {}
  for i, key in ipairs(keys) do
    if times[i] then
      opened[#opened + 1], opened[#opened + 2] = math.max(behind, tonumber(times[i])), key
      emptied[#emptied + 1] = key
    end
  end
  if #emptied > 0 then
    redis.call('ZREM', full, unpack(emptied))
    redis.call('ZADD', open, unpack(opened))
  end
  if known[2] == '1' then
    -- Charges what they ran in place of what they were charged before it was known.
    local standing, rested = redis.call('ZMSCORE', open, unpack(keys)), redis.call('ZMSCORE', resting, unpack(keys))
    local own = known[7] and redis.call('HMGET', limits, unpack(keys)) or {}
    local moved, resting_later = {}, {}
    for i, key in ipairs(keys) do
      local weight = tonumber(string.match(own[i] or '', '^%S+ %S+ %S+ (%S+)')) or 1
      local owed = ran[i] / weight - charged[i]
      if standing[i] then
        moved[#moved + 1], moved[#moved + 2] = tonumber(standing[i]) + owed, key
      else
        local at = math.max(virtual, tonumber(rested[i] or 0) + 0) + owed
        if rested[i] or at > virtual then
          resting_later[#resting_later + 1], resting_later[#resting_later + 2] = at, key
        end
      end
    end
    if #moved > 0 then
      redis.call('ZADD', open, unpack(moved))
    end
    if #resting_later > 0 then
      redis.call('ZADD', resting, unpack(resting_later))
    end
  end
  if #emptied > 0 or (most and (taken >= most or known[8])) then
    -- Whoever frees a slot may not be the one to fill it. Where some cost more than one, those may have waited for several.
    if redis.call('ZCARD', open) > 0 then
      wake_one()
    end
  end
end

