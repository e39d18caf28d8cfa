-- Lists lanes of which something waits or runs, that are paused, or that have limits of their own.
--
-- KEYS  those of the gate
-- ARGV  which it goes through (waiting, running, limits, paused), where to scan on, the key after which to go on there
--       (after a colon; '' for the first), how many at most
-- Returns where to go on: the same three ('' at the end), and for each lane: key, how many wait, slots that are held, how
-- it stands (open, full, paused, idle, or the us since 1970 when it opens), and its limits ('' for none of its own).

local ORDER, STAGES = { waiting = 1, running = 2, limits = 3, paused = 4 }, { 'waiting', 'running', 'limits', 'paused' }
local stage, cursor, after, limit = ORDER[ARGV[1]], ARGV[2], ARGV[3], tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local found = {}

-- The keys of one page, and where the next begins ('0' at the end).
local function scan()
  if stage == 4 then
    local first = tonumber(cursor)
    local keys = redis.call('ZRANGEBYSCORE', closed, '+inf', '+inf', 'LIMIT', first, 100)
    return keys, #keys == 100 and tostring(first + 100) or '0'
  end
  local page = redis.call('HSCAN', ({ waiting, running, limits })[stage], cursor, 'COUNT', 100)
  local keys = {}
  for i = 1, #page[2], 2 do
    keys[#keys + 1] = page[2][i]
  end
  return keys, page[1]
end

-- A lane as it is now, unless it was listed by what came before.
local function survey(key)
  local counts, runs = redis.call('HMGET', waiting, key)[1], redis.call('HMGET', running, key)[1]
  local own, opens = redis.call('HMGET', limits, key)[1], redis.call('ZMSCORE', closed, key)[1]
  if stage > 1 and counts or stage > 2 and runs or stage > 3 and own then
    return nil
  end
  local stands = 'idle'
  if opens == 'inf' then
    stands = 'paused'
  elseif counts then
    stands = redis.call('ZMSCORE', full, key)[1] and 'full' or 'open'
    if opens and tonumber(opens) > now then
      stands = string.format('%.0f', tonumber(opens))
    end
  end
  return { key, tonumber(counts or 0), tonumber(runs or 0), stands, own or '' }
end

-- How many pages one call scans at most.
for _ = 1, 10 do
  local keys, next_cursor = scan()
  table.sort(keys)
  for _, key in ipairs(keys) do
    if after == '' or key > string.sub(after, 2) then
      if #found >= limit then
        return { { STAGES[stage], cursor, after }, found }
      end
      found[#found + 1] = survey(key)
      after = ':' .. key
    end
  end
  cursor, after = next_cursor, ''
  if cursor == '0' then
    stage = stage + 1
    if stage > 4 then
      return { { '', '', '' }, found }
    end
  end
end
return { { STAGES[stage], cursor, after }, found }
