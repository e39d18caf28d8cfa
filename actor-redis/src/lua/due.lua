-- Finds the schedules that are due, the longest overdue first.
--
-- KEYS  those of schedules.lua
-- ARGV  how many at most
-- Returns the time, in ms since 1970; ms until the next is due (0 where more are due, -1 where none will be); 1 where
-- there is any schedule; and for each that is due: name, spec, revision, since when, tick ('' for none).

local limit = tonumber(ARGV[1])
local found = redis.call('ZRANGE', schedules, 0, limit, 'WITHSCORES')
local due, next_ms = {}, -1
for i = 1, #found, 2 do
  local name, score = found[i], tonumber(found[i + 1])
  if score > now or #due == limit or is_read_enough() then
    next_ms = found[i + 1] == OFF and -1 or math.max(0, math.ceil(score - now))
    break
  end
  local spec, state = redis.call('HMGET', specs, name)[1], read_state(name)
  if spec and state then
    note_read(spec)
    due[#due + 1] = { name, spec, state.revision, state.since, state.tick or '' }
  else
    -- An index alone is nothing.
    remove(name)
    next_ms = 0
  end
end
return { now, next_ms, #found > 0 and 1 or 0, due }
