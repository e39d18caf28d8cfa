-- Notes that a living worker declares these schedules. What nobody has declared for some time, while workers were
-- alive, fires no more, and is removed later. That time is counted in `schedules:clock`, and each schedule's last
-- declaration stands in `schedules:declared` by it: where no worker was there, nobody could declare anything.
--
-- KEYS  those of schedules.lua
-- ARGV  1 to store what differs, 0 to store only what is missing; the longest time between two calls that counts, ms
--       until what nobody declares fires no more, ms until it is removed; then for each schedule: name, spec
-- Returns the names of those that fire no more from now on, and of those that were removed.

local begins, longest_ms, undeclared_ms, removed_ms = ARGV[1] == '1', tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local FIRST = 5
-- How many that nobody declares are seen to at once.
local FEW = 100

local counted = redis.call('HMGET', clock, 'served', 'until')
local served, until_ms = tonumber(counted[1]) or 0, tonumber(counted[2]) or now
served = served + math.min(math.max(0, now - until_ms), longest_ms)
redis.call('HSET', clock, 'served', whole(served), 'until', whole(now))

local mine, scores = {}, {}
for i = FIRST, #ARGV, 2 do
  mine[#mine + 1] = ARGV[i]
  scores[#scores + 1] = whole(served)
  scores[#scores + 1] = ARGV[i]
end
if #mine > 0 then
  local known, stored = redis.call('HMGET', states, unpack(mine)), false
  for n, name in ipairs(mine) do
    if begins or not known[n] or cjson.decode(known[n]).undeclared then
      put(name, ARGV[FIRST + 2 * n - 1], true)
      stored = true
    end
  end
  redis.call('ZADD', declared, unpack(scores))
  if stored then
    wake_one()
  end
end

local undeclared, removed = {}, {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', declared, '-inf', '(' .. whole(served - undeclared_ms), 'LIMIT', 0, FEW)) do
  local missing_ms = served - redis.call('ZSCORE', declared, name)
  local state = read_state(name)
  if not state or missing_ms > removed_ms then
    remove(name)
    removed[#removed + 1] = name
  elseif not state.undeclared then
    state.undeclared = whole(now - missing_ms)
    write_state(name, state)
    undeclared[#undeclared + 1] = name
  end
end
return { undeclared, removed }
