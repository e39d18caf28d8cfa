-- Ends messages, whoever holds them. Each is deleted before it is acknowledged, as without a script.
--
-- KEYS  ready:high:released, ready:high, ready:normal:released, ready:normal, ready:low:released, ready:low
-- ARGV  group, then for each message: level (0 to 5), entry
-- Returns for each message: 1, or 0 where it was settled before.

local group = ARGV[1]
local entries = {}
for i = 2, #ARGV, 2 do
  local level = ARGV[i]
  local of_level = entries[level] or {}
  of_level[#of_level + 1] = ARGV[i + 1]
  entries[level] = of_level
end
for level, of_level in pairs(entries) do
  redis.call('XDEL', KEYS[1 + level], unpack(of_level))
end
local answers = {}
for i = 2, #ARGV, 2 do
  answers[#answers + 1] = redis.call('XACK', KEYS[1 + ARGV[i]], group, ARGV[i + 1])
end
return answers
