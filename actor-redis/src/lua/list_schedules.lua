-- Lists schedules by name.
--
-- KEYS  those of schedules.lua
-- ARGV  the first and the last name, as for ZRANGEBYLEX; how many at most
-- Returns 1 where there may be more, and for each: name, spec, when it is due, 1 where it is declared, 1 where it is
-- paused, since when there are ticks, and '' or: its next tick, why it is parked, since when nobody declares it, its last
-- tick, when that fired, its last message.

local first, last, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])
local found = redis.call('ZRANGEBYLEX', names, first, last, 'LIMIT', 0, limit + 1)
local listed = {}
for _, name in ipairs(found) do
  if #listed == limit or is_read_enough() then
    return { 1, listed }
  end
  local spec, state = redis.call('HMGET', specs, name)[1], read_state(name)
  if spec and state then
    note_read(spec)
    local due = redis.call('ZSCORE', schedules, name) or ''
    local one = { name, spec, due, state.declared and '1' or '0', state.paused and '1' or '0' }
    for _, field in ipairs({ 'since', 'tick', 'parked', 'undeclared', 'last', 'fired', 'id' }) do
      one[#one + 1] = state[field] or ''
    end
    listed[#listed + 1] = one
  end
end
return { 0, listed }
