-- Stores schedules, each in place of the one of its name. One whose timing is as before keeps its next tick.
--
-- KEYS  those of schedules.lua
-- ARGV  for each schedule: name, spec (its timing, a line feed, its body)
-- Returns for each schedule: 1, or 0 where an actor declares one of this name.

local answers = {}
for i = 1, #ARGV, 2 do
  answers[#answers + 1] = put(ARGV[i], ARGV[i + 1], false)
end
wake_one()
return answers
