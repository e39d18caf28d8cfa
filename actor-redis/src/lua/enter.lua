-- Stores messages in their lanes, and wakes a worker where no lane was open.
--
-- KEYS  those of the gate
-- ARGV  for each message: the end of its list's name (h, n or l for the priority, a colon, the key), and its text: `+` for
--       a suspect, its cost, a blank, the body
-- Returns 1, or where some were refused, for each message: 1 or the error.

local names, texts = {}, {}
for i = 1, #ARGV, 2 do
  names[#names + 1], texts[#texts + 1] = ARGV[i], ARGV[i + 1]
end
if into_lanes(names, texts) then
  wake_one()
end
if not next(refused) then
  return 1
end
local answers = {}
for i, name in ipairs(names) do
  answers[i] = refused[name] or 1
end
return answers
