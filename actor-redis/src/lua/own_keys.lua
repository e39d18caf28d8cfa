-- Takes keys of its own for what stands around a script, which knows nothing of them. Stands before everything else.
--
-- KEYS  those of the script, then its own
-- ARGV  those of the script, then how many its own are
-- Returns nothing.

local own_keys = {}
for i = tonumber(ARGV[#ARGV]), 1, -1 do
  own_keys[i] = KEYS[#KEYS]
  KEYS[#KEYS] = nil
end
ARGV[#ARGV] = nil

