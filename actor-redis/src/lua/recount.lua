-- Counts the slots that messages hold, which the ready streams say, and compares that with what the gate believes.
--
-- KEYS  ready:high:released, ready:high, ready:normal:released, ready:normal, ready:low:released, ready:low, then those of
--       the gate
-- ARGV  how many entries and how many bytes it may read, ms that must have passed since it was last done ('' for any), 1 to
--       put right what is wrong
-- Returns whether it was done and could read all, how many entries it read, and for each difference: key ('' of the whole
-- queue), slots as believed, slots that are held.

local most_entries, most, apart_ms, repairs = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local known = redis.call('HMGET', gate, 'n', 'at', 'g')
if not known[3] then
  -- It has no lanes.
  return { 1, 0, {} }
end
if apart_ms and now_ms - (tonumber(known[2]) or 0) < apart_ms then
  return { 0, 0, {} }
end
if apart_ms then
  redis.call('HSET', gate, 'at', now_ms)
end

local read, bytes, held, all = 0, 0, {}, 0
for i = 1, 6 do
  local from = '-'
  repeat
    local count = bytes > 0 and bytes / read > 65536 and 1 or 100
    local page = redis.call('XRANGE', KEYS[i], from, '+', 'COUNT', count)
    for _, entry in ipairs(page) do
      local fields = entry[2]
      read, bytes = read + 1, bytes + #(fields[2] or '')
      local cost, key = string.match(fields[#fields - 1] == 'k' and fields[#fields] or '', '^(%d+) %d+ (.*)$')
      if key then
        held[key], all = (held[key] or 0) + cost, all + cost
      end
    end
    if read > most_entries or bytes > most then
      return { 0, read, {} }
    end
    from = #page > 0 and '(' .. page[#page][1] or from
  until #page < count
end
if redis.call('HLEN', running) > most_entries then
  return { 0, read, {} }
end

local differences, changed, gone = {}, {}, {}
local believed = redis.call('HGETALL', running)
local seen = {}
for i = 1, #believed, 2 do
  local key, slots = believed[i], believed[i + 1]
  seen[key] = true
  if tonumber(slots) ~= (held[key] or 0) then
    differences[#differences + 1] = { key, slots, tostring(held[key] or 0) }
  end
end
for key, slots in pairs(held) do
  if not seen[key] then
    differences[#differences + 1] = { key, '0', tostring(slots) }
  end
end
if (tonumber(known[1]) or 0) ~= all then
  table.insert(differences, 1, { '', known[1] or '0', tostring(all) })
end
if repairs and #differences > 0 then
  redis.call('HSET', gate, 'n', all)
  for i, difference in ipairs(differences) do
    local key = difference[1]
    -- The first may be that of the whole queue, which has no key.
    if i > 1 or (tonumber(known[1]) or 0) == all then
      if held[key] then
        redis.call('HSET', running, key, held[key])
      else
        redis.call('HDEL', running, key)
      end
      -- It is looked at before anything of it goes.
      local at = redis.call('ZMSCORE', full, key)[1]
      if at then
        redis.call('ZREM', full, key)
        redis.call('ZADD', open, at, key)
      end
    end
  end
  wake_one()
end
return { 1, read, differences }
