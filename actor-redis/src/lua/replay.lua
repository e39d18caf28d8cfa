-- Makes dead letters ready again, each only while it is dead.
--
-- KEYS  dead, dead:bodies, dead:reasons, dead:pruned, ready:high:released, ready:high, ready:normal:released,
--       ready:normal, ready:low:released, ready:low
-- ARGV  for each message: member, level (0 to 5), body
-- Returns how many are ready again.

local dead, bodies, reasons, pruned = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

-- A script whose first write only frees may go on where Redis is out of memory, as moving must.
redis.call('ZREM', dead, '')

local replayed, refusal = {}, nil
for i = 1, #ARGV, 3 do
  local member = ARGV[i]
  if redis.call('ZSCORE', dead, member) then
    local added = redis.pcall('XADD', KEYS[5 + ARGV[i + 1]], '*', 'm', ARGV[i + 2])
    if type(added) == 'table' then
      refusal = added
      break
    end
    replayed[#replayed + 1] = member
  end
end
if #replayed > 0 then
  redis.call('ZREM', dead, unpack(replayed))
  redis.call('HDEL', bodies, unpack(replayed))
  redis.call('HDEL', reasons, unpack(replayed))
  forget_pruned(dead, pruned)
end
return refusal or #replayed
