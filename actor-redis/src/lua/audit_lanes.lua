-- Finds lanes whose lists are not as the gate believes, from some of those that it knows.
--
-- KEYS  those of the gate
-- ARGV  which it goes through (waiting, open, closed, full), where to go on ('' for the beginning), how many at a time, 1 to
--       put right what is wrong
-- Returns where to go on ('' at the end), how many it read, and two lists of lanes: those with other messages than are
-- counted, and those that wait and that nobody looks at.

local which, from, page, repairs = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1'
local keys, next_from = {}, ''
if which == 'waiting' then
  local found = redis.call('HSCAN', waiting, from == '' and '0' or from, 'COUNT', page)
  for i = 1, #found[2], 2 do
    keys[#keys + 1] = found[2][i]
  end
  next_from = found[1] ~= '0' and found[1] or ''
else
  local set = ({ open = open, closed = closed, full = full })[which]
  local first = tonumber(from) or 0
  keys = redis.call('ZRANGE', set, first, first + page - 1)
  next_from = #keys == page and tostring(first + page) or ''
end

local miscounted, forgotten = {}, {}
local all = 0
for _, key in ipairs(keys) do
  local length = 0
  for _, letter in ipairs({ 'h', 'n', 'l' }) do
    length = length + redis.call('LLEN', lane .. letter .. ':' .. key)
  end
  all = all + length
  local counted = tonumber(redis.call('HMGET', waiting, key)[1]) or 0
  local standing = 0
  for _, set in ipairs({ open, closed, full }) do
    if redis.call('ZMSCORE', set, key)[1] then
      standing = standing + 1
    end
  end
  if length ~= counted then
    miscounted[#miscounted + 1] = key
    if repairs then
      redis.call('HINCRBY', gate, 'w', length - counted)
      if length > 0 then
        redis.call('HSET', waiting, key, length)
      else
        redis.call('HDEL', waiting, key)
        redis.call('ZREM', open, key)
        redis.call('ZREM', full, key)
      end
    end
  end
  if length > 0 and standing ~= 1 then
    forgotten[#forgotten + 1] = key
    if repairs then
      redis.call('ZREM', full, key)
      redis.call('ZADD', open, 'NX', tonumber(redis.call('HMGET', gate, 'v')[1]) or 0, key)
      wake_one()
    end
  end
end
if repairs and which == 'waiting' and from == '' and next_from == '' then
  redis.call('HSET', gate, 'w', all)
end
return { next_from, #keys, { miscounted, forgotten } }
