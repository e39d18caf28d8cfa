-- Finds a message in its lane.
--
-- KEYS  those of the gate, then those of unique keys
-- ARGV  key, letter, place in its list when it was listed, hash of its text
-- Returns its text, or nothing where it has moved on.

local key, letter, hint, hash = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]

local _, text = find_in_lane(lane .. letter .. ':' .. key, hint, hash)
local name = text and name_in_lane(text)
if name then
  local _, body = from_lane_bodies(name)
  text = string.match(text, '^%+?%d+') .. ' ' .. (body or '')
end
return text
