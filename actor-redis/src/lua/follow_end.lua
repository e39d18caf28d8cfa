-- Ends what `follow_begin.lua` began: what follows from each message that was settled.
--
-- What follows begins with what the keys of the ready streams begin with, and is then, for each: the message's number, what it
-- is, how many arguments it has, and those:
--   ready  level's name, body: a message that is ready in this queue
--   send   number of the outbox, queue, id, level, unique key, what else it says (as `store_unique.lua` takes it), body
--   tick   id: the schedule of this message may store its next one
--   forget number of the key: what is kept of this message is forgotten
--   keep   number of the key, channel, ms, record: how this message ended is kept, and who waits for it is told
--
-- KEYS  those of the script
-- ARGV  those of the script
-- Returns what the script does.

end

local answers_of_all = settle_all()
if answers_of_all.err then
  return answers_of_all
end
local ready_prefix, outboxes, open_ticks, noted = follows[1], own_keys[1], own_keys[2], {}

local function follow(what, at)
  if what == 'ready' then
    redis.call('XADD', ready_prefix .. follows[at], '*', 'm', follows[at + 1])
  elseif what == 'send' then
    local outbox, to = own_keys[2 + follows[at]], follows[at + 1]
    redis.call(
      'XADD', outbox, '*', 'i', follows[at + 2], 'l', follows[at + 3], 'u', follows[at + 4], 'o', follows[at + 5], 'm',
      follows[at + 6]
    )
    if not noted[to] then
      noted[to] = true
      redis.call('SADD', outboxes, to)
    end
  elseif what == 'tick' then
    redis.call('HDEL', open_ticks, follows[at])
  elseif what == 'forget' then
    redis.call('DEL', own_keys[2 + follows[at]])
  elseif what == 'keep' then
    redis.call('SET', own_keys[2 + follows[at]], follows[at + 3], 'PX', follows[at + 2])
    -- Who waits looks again by itself: a user who may not publish has settled all the same.
    redis.pcall('PUBLISH', follows[at + 1], '')
  end
end

local next_one = 2
while next_one <= FOLLOW_COUNT do
  if answers_of_all[tonumber(follows[next_one])] == 1 then
    follow(follows[next_one + 1], next_one + 3)
  end
  next_one = next_one + 3 + follows[next_one + 2]
end
return answers_of_all
