-- Stores messages from another queue's outbox, each once: the script between this and its end stores those that have not
-- arrived yet.
--
-- A call has the messages of one outbox in their order, from the oldest on that was in it. So whatever is older than the last
-- that arrived has arrived too.
--
-- KEYS  those of the script; its own is arrivals
-- ARGV  those of the script, which stop at the first that is refused; then the number of each message's entry in the outbox; then
--       the other queue, and how many messages
-- Returns how many had arrived before, and then what the script does.

local arrivals = own_keys[1]
local arriving, from_queue = tonumber(ARGV[#ARGV]), ARGV[#ARGV - 1]
local HEAD, MESSAGE = 5, 5
local numbers = {}
for i = 1, arriving do
  numbers[i] = ARGV[#ARGV - 2 - arriving + i]
end
for i = #ARGV, HEAD + MESSAGE * arriving + 1, -1 do
  ARGV[i] = nil
end

local function is_after(number, last)
  local ms, nth = string.match(number, '^(%d+)-(%d+)$')
  local last_ms, last_nth = string.match(last, '^(%d+)-(%d+)$')
  if ms ~= last_ms then
    return tonumber(ms) > tonumber(last_ms)
  end
  return tonumber(nth) > tonumber(last_nth)
end

local last_arrived = redis.call('HGET', arrivals, from_queue)
local arrived = 0
while last_arrived and arrived < arriving and not is_after(numbers[arrived + 1], last_arrived) do
  arrived = arrived + 1
end
if arrived > 0 then
  local size = #ARGV
  for i = HEAD + 1, size do
    ARGV[i] = ARGV[i + MESSAGE * arrived]
  end
end

local function store_all()
