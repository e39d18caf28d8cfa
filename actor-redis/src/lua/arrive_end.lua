-- Ends what `arrive_begin.lua` began: notes which message was the last to arrive.
--
-- KEYS  those of the script
-- ARGV  those of the script
-- Returns how many had arrived before, and then what the script does.

end

local stored = store_all()
local done = arrived + #stored
if #stored > 0 and type(stored[#stored]) == 'table' then
  done = done - 1
end
if done > 0 then
  -- Written also where all had arrived before: whoever asks for replicas to confirm it asks for what it wrote by itself.
  redis.call('HSET', arrivals, from_queue, done > arrived and numbers[done] or last_arrived)
end
return { arrived, stored }
