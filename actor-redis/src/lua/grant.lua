-- Lets messages go from their lanes to the ready streams, within the limits: of the lane that has run least first. What
-- goes has its slot from then on.
--
-- KEYS  ready:high, ready:normal, ready:low, then those of the gate, then those of unique keys
-- ARGV  how many at most, group
-- Returns how many went, the ms until more may go (0 for now, -1 where only a settlement lets more go), and the time in
-- ms since 1970.

local streams = { h = KEYS[1], n = KEYS[2], l = KEYS[3] }
local levels = { h = 1, n = 3, l = 5 }
local limit = tonumber(ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local now_ms = math.floor(now / 1000)
-- What a lane is charged for a message where lanes take turns; how long the messages of one turn may run, and how many they are at most.
local TURN_US, TURN_RUNS_US, MOST_OF_TURN = 1000, 2000, 8
-- How many lanes one call looks at.
local MOST_LANES = 128

local known = redis.call('HMGET', gate, 'c', 'ri', 'rb', 'kc', 'kri', 'krb', 'fair', 'n', 't', 'v', 'e', 'p', 'x', 'o', 'r')
local most, interval, burst = tonumber(known[1]), tonumber(known[2]), tonumber(known[3])
local lane_most, lane_interval, lane_burst = tonumber(known[4]), tonumber(known[5]), tonumber(known[6])
local is_fair, is_ranked, is_costly, has_own = known[7] == '1', known[12], known[13], known[14]
local taken, used, virtual = tonumber(known[8]) or 0, tonumber(known[9]) or 0, tonumber(known[10]) or 0
local usual = tonumber(known[11]) or 0
-- How many turns a lane may be behind the others that waited for a limit of its own, and not for its turn.
local CATCH_UP = 16
local behind = virtual - CATCH_UP * (is_fair and math.max(1, usual) or TURN_US)

-- A script whose first write only frees may go on where Redis is out of memory, as delivering must.
redis.call('ZREM', leases, '')

-- Opens the lanes whose time has come.
local due = redis.call('ZRANGEBYSCORE', closed, '-inf', now, 'LIMIT', 0, MOST_LANES)
if #due > 0 then
  local counts, times = redis.call('HMGET', waiting, unpack(due)), redis.call('ZMSCORE', resting, unpack(due))
  local opened, rested = {}, {}
  for i, key in ipairs(due) do
    if counts[i] then
      opened[#opened + 1], opened[#opened + 2] = math.max(behind, tonumber(times[i] or 0)), key
      rested[#rested + 1] = key
    end
  end
  redis.call('ZREM', closed, unpack(due))
  if #opened > 0 then
    redis.call('ZADD', open, 'NX', unpack(opened))
    redis.call('ZREM', resting, unpack(rested))
  end
end

-- How many starts a rate allows now, and when it allows so many.
local function starts(until_us, each, at_once)
  return math.floor(at_once - math.max(0, until_us - now) / each + 1e-9)
end
local function starts_at(count, until_us, each, at_once)
  return until_us - (at_once - count) * each
end

if known[15] then
  -- Some were released, and go before those that wait.
  local ready = 0
  for i = 1, 3 do
    local stream = KEYS[i] .. ':released'
    local pending = redis.pcall('XPENDING', stream, ARGV[2])
    ready = ready + redis.call('XLEN', stream) - (pending.err and 0 or pending[1])
  end
  limit = limit - ready
  if ready == 0 then
    redis.call('HDEL', gate, 'r')
  end
end

local room = most and most - taken or math.huge
local tokens = interval and starts(used, interval, burst) or math.huge
local opens = math.huge
local granted, refusal, is_more = 0, nil, false
local keys, times, size = {}, {}, 0
if room >= 1 and limit >= 1 then
  local found = redis.call('ZRANGE', open, 0, math.min(limit, MOST_LANES) - 1, 'WITHSCORES')
  for i = 1, #found, 2 do
    size = size + 1
    keys[size], times[size] = found[i], tonumber(found[i + 1])
  end
end
if size > 0 and tokens < 1 then
  opens = starts_at(1, used, interval, burst)
elseif size > 0 then
  local all = size
  local left, runs = redis.call('HMGET', waiting, unpack(keys)), redis.call('HMGET', running, unpack(keys))
  local uses = lane_interval and redis.call('ZMSCORE', allowed, unpack(keys)) or {}
  local own = has_own and redis.call('HMGET', limits, unpack(keys)) or {}
  local mosts, intervals, bursts, weights = {}, {}, {}, {}
  for i = 1, size do
    left[i], runs[i], uses[i] = tonumber(left[i] or 0), tonumber(runs[i] or 0), tonumber(uses[i] or 0)
    mosts[i], intervals[i], bursts[i], weights[i] = lane_most, lane_interval, lane_burst, 1
    if own[i] then
      local c, ri, rb, weight = string.match(own[i], '^(%S+) (%S+) (%S+) (%S+) ')
      mosts[i], weights[i] = tonumber(c) or (c == '=' and lane_most or nil), tonumber(weight) or 1
      if ri ~= '=' then
        intervals[i], bursts[i] = tonumber(ri), tonumber(rb)
        uses[i] = tonumber(redis.call('ZSCORE', allowed, keys[i]) or 0)
      end
    end
  end
  local is, turn = {}, 1
  if usual > 0 then
    turn = math.max(1, math.min(MOST_OF_TURN, math.floor(TURN_RUNS_US / usual)))
  end

  -- A heap of lanes, that with the least time at its root. What is sorted is one.
  local heap = {}
  for i = 1, size do
    heap[i] = i
  end
  local function settle_root()
    local at, lane_at = 1, heap[1]
    while true do
      local child = 2 * at
      if child > size then
        break
      end
      if child < size and times[heap[child + 1]] < times[heap[child]] then
        child = child + 1
      end
      if times[heap[child]] >= times[lane_at] then
        break
      end
      heap[at], at = heap[child], child
    end
    heap[at] = lane_at
  end
  local function drop_root()
    heap[1] = heap[size]
    heap[size] = nil
    size = size - 1
    if size > 0 then
      settle_root()
    end
  end

  -- Takes so many from the front of a lane. Returns their texts, and the letter of the list.
  local function pop(key, count)
    for _, letter in ipairs(is_ranked and { 'h', 'n', 'l' } or { 'n' }) do
      local texts = redis.pcall('LPOP', lane .. letter .. ':' .. key, count)
      if type(texts) == 'table' and not texts.err and #texts > 0 then
        return texts, letter
      end
    end
    return {}
  end
  -- What the first message of a lane costs.
  local function cost_of_first(key)
    for _, letter in ipairs(is_ranked and { 'h', 'n', 'l' } or { 'n' }) do
      local text = redis.pcall('LINDEX', lane .. letter .. ':' .. key, 0)
      if type(text) == 'string' then
        return tonumber(string.match(text, '^%+?(%d+)[ !]')) or 1
      end
    end
    return 1
  end

  while granted < limit and size > 0 and not refusal do
    local i = heap[1]
    local key, cost = keys[i], 1
    local count = math.min(limit - granted, turn, left[i])
    if is_costly then
      cost, count = cost_of_first(key), math.min(count, 1)
    end
    -- What costs more than a limit takes all of it.
    local needs = most and math.min(cost, most) or cost
    local lane_needs = mosts[i] and math.min(cost, mosts[i]) or cost
    if needs > room then
      break
    end
    local spends = interval and math.min(cost, burst) or 0
    if interval and spends > tokens then
      opens = starts_at(spends, used, interval, burst)
      break
    end
    local lane_room = mosts[i] and mosts[i] - runs[i] or math.huge
    local lane_spends = intervals[i] and math.min(cost, bursts[i]) or 0
    local lane_tokens = intervals[i] and starts(uses[i], intervals[i], bursts[i]) or math.huge
    if lane_needs > lane_room then
      is[i] = 'full'
      drop_root()
    elseif lane_spends > lane_tokens then
      is[i] = starts_at(lane_spends, uses[i], intervals[i], bursts[i])
      drop_root()
    else
      if not is_costly then
        count = math.min(count, room, tokens, lane_room, lane_tokens)
      end
      local texts, letter = {}, nil
      if count > 0 then
        texts, letter = pop(key, count)
      end
      local charge = (is_fair and math.max(1, math.floor(usual)) or TURN_US) * cost / weights[i]
      local slot = cost .. ' ' .. (is_fair and string.format('%.0f', charge) or '0') .. ' ' .. key
      local gone = 0
      for n, text in ipairs(texts) do
        local at = string.find(text, ' ', 1, true)
        local body = string.sub(text, at + 1)
        local added, name, unique_key
        if body == '' then
          name = name_in_lane(text)
        end
        if name then
          unique_key, body = from_lane_bodies(name)
          local fields = string.byte(text) == 43 and { 'suspect', 1 } or {}
          fields[#fields + 1], fields[#fields + 2] = 'u', unique_key or ''
          fields[#fields + 1], fields[#fields + 2] = 'k', slot
          added = redis.pcall('XADD', streams[letter], '*', 'm', body or '', unpack(fields))
        elseif string.byte(text) == 43 then
          added = redis.pcall('XADD', streams[letter], '*', 'm', body, 'suspect', 1, 'k', slot)
        else
          added = redis.pcall('XADD', streams[letter], '*', 'm', body, 'k', slot)
        end
        if type(added) == 'table' then
          refusal = added
          for back = #texts, n, -1 do
            redis.call('LPUSH', lane .. letter .. ':' .. key, texts[back])
          end
          break
        end
        if unique_key then
          redis.call('HDEL', lane_bodies, name)
          move_holders({ unique_key }, { 'l:' .. name }, { levels[letter] .. ':' .. added })
        end
        gone = gone + 1
      end
      if gone > 0 then
        times[i] = times[i] + charge * gone
        left[i], runs[i] = left[i] - gone, runs[i] + cost * gone
        granted, taken, room = granted + gone, taken + cost * gone, room - cost * gone
        is[i] = 'open'
        if interval then
          used = math.max(used, now) + cost * gone * interval
          tokens = starts(used, interval, burst)
        end
        if intervals[i] then
          uses[i] = math.max(uses[i], now) + cost * gone * intervals[i]
        end
      end
      if left[i] > 0 and #texts == 0 then
        -- The list is elsewhere, or was deleted by hand: a repair finds that.
        drop_root()
      elseif left[i] <= 0 then
        is[i] = 'empty'
        drop_root()
      elseif mosts[i] and runs[i] >= mosts[i] then
        is[i] = 'full'
        drop_root()
      else
        settle_root()
      end
    end
  end
  is_more = granted == limit and (size > 0 or all == math.min(limit, MOST_LANES)) and room >= 1
  if is_more and tokens < 1 then
    is_more = false
    opens = starts_at(1, used, interval, burst)
  end

  -- Writes what has changed.
  local opened, filled, shut, rested, left_open, counts, gone, taking, using = {}, {}, {}, {}, {}, {}, {}, {}, {}
  for i, place in pairs(is) do
    local key = keys[i]
    taking[#taking + 1], taking[#taking + 2] = key, runs[i]
    if left[i] > 0 then
      counts[#counts + 1], counts[#counts + 2] = key, left[i]
    else
      gone[#gone + 1] = key
    end
    if intervals[i] then
      using[#using + 1], using[#using + 2] = string.format('%.0f', uses[i]), key
    end
    if place == 'open' then
      opened[#opened + 1], opened[#opened + 2] = times[i], key
    else
      left_open[#left_open + 1] = key
      if place == 'full' then
        filled[#filled + 1], filled[#filled + 2] = times[i], key
      else
        rested[#rested + 1], rested[#rested + 2] = times[i], key
        if place ~= 'empty' then
          shut[#shut + 1], shut[#shut + 2] = string.format('%.0f', place), key
        end
      end
    end
  end
  if #left_open > 0 then
    redis.call('ZREM', open, unpack(left_open))
  end
  if #opened > 0 then
    redis.call('ZADD', open, unpack(opened))
  end
  if #filled > 0 then
    redis.call('ZADD', full, unpack(filled))
  end
  if #rested > 0 then
    redis.call('ZADD', resting, unpack(rested))
  end
  if #shut > 0 then
    redis.call('ZADD', closed, 'GT', unpack(shut))
  end
  if granted > 0 then
    redis.call('HSET', running, unpack(taking))
    if #counts > 0 then
      redis.call('HSET', waiting, unpack(counts))
    end
    if #gone > 0 then
      redis.call('HDEL', waiting, unpack(gone))
    end
    if #using > 0 then
      redis.call('ZADD', allowed, unpack(using))
    end
    -- The virtual time is that of the lane that goes next; the last that was open takes it with it.
    local head = redis.call('ZRANGE', open, 0, 0, 'WITHSCORES')[2]
    if head then
      virtual = tonumber(head)
    else
      for i in pairs(is) do
        virtual = math.max(virtual, times[i])
      end
    end
    redis.call('HSET', gate, 'n', taken, 't', string.format('%.0f', used), 'v', string.format('%.17g', virtual))
    redis.call('HINCRBY', gate, 'w', -granted)
    -- Forgets lanes of which nothing is left to know.
    for set, over in pairs({ [resting] = virtual, [allowed] = now }) do
      local members = redis.call('ZRANGEBYSCORE', set, '-inf', string.format('%.17g', over), 'LIMIT', 0, 2 * granted + 16)
      if #members > 0 then
        redis.call('ZREM', set, unpack(members))
      end
    end
  end
end
if refusal then
  return refusal
end
if is_more then
  return { granted, 0, now_ms }
end
local first_closed = redis.call('ZRANGE', closed, 0, 0, 'WITHSCORES')[2]
opens = math.min(opens, tonumber(first_closed) or math.huge)
return { granted, opens < math.huge and math.max(1, math.ceil((opens - now) / 1000)) or -1, now_ms }
