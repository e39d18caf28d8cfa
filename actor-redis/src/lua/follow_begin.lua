-- Settles messages from which something follows: the script between this and its end settles, and what follows from each
-- happens where it did.
--
-- KEYS  those of the script; its own are outboxes, schedules:open, the outbox for each queue that
--       something is sent to, and what one of them alone writes
-- ARGV  those of the script, then what follows, as the end reads it; then how many arguments that is
-- Returns what the script does.

local FOLLOW_COUNT = tonumber(ARGV[#ARGV])
local follow_at = #ARGV - 1 - FOLLOW_COUNT
local follows = {}
for i = 1, FOLLOW_COUNT do
  follows[i] = ARGV[follow_at + i]
end
for i = #ARGV, follow_at + 1, -1 do
  ARGV[i] = nil
end

local function settle_all()
