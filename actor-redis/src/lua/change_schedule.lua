-- Pauses, resumes or removes a schedule.
--
-- KEYS  those of schedules.lua
-- ARGV  name, `pause`, `resume` or `remove`
-- Returns 1, or 0 where there is none of this name.

local name, change = ARGV[1], ARGV[2]
local state = read_state(name)
if not state then
  return 0
end
if change == 'remove' then
  remove(name)
elseif change == 'pause' then
  state.paused = true
  write_state(name, state)
elseif state.paused or state.parked then
  state.paused, state.parked = nil, nil
  begin(state)
  write_state(name, state, now)
  wake_one()
end
return 1
