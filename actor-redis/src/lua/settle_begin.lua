-- Settles messages that hold slots or unique keys: the script between this and its end settles, and what each held is freed
-- where it did.
--
-- KEYS  those of the script
-- ARGV  those of the script, then for each of its messages: the place of its lane's key (0 where it holds no slot), slots, us
--       that it ran, us that it was charged, the place of its unique key (0 where it has none), and its own place; then the
--       keys; then how many keys, and how many messages
-- Returns what the script does.

local HELD_WIDTH = 6
local held_count, key_count = tonumber(ARGV[#ARGV]), tonumber(ARGV[#ARGV - 1])
local held_at = #ARGV - 2 - key_count - HELD_WIDTH * held_count
local held = {}
for i = held_at + 1, #ARGV - 2 do
  held[i - held_at] = ARGV[i]
end
for i = #ARGV, held_at + 1, -1 do
  ARGV[i] = nil
end

local function settle()
