-- Makes dead letters ready again, each only while it is dead.
--
-- KEYS  dead, dead:bodies, dead:reasons, dead:pruned, ready:high:released, ready:high, ready:normal:released,
--       ready:normal, ready:low:released, ready:low, then those of the gate
-- ARGV  for each message: member, level (0 to 5), body, and the end of its lane's name ('' where it has none); the level
--       and the body are '' where it has no body, and is only removed
-- Returns how many are ready again.

local dead, bodies = KEYS[1], KEYS[2]

-- A script whose first write only frees may go on where Redis is out of memory, as moving must.
redis.call('ZREM', dead, '')

local over, replayed, refusal = {}, 0, nil
for i = 1, #ARGV, 4 do
  local member, level = ARGV[i], ARGV[i + 1]
  local is_bare = level == '' and redis.call('HEXISTS', bodies, member) == 0
  if (level ~= '' or is_bare) and redis.call('ZSCORE', dead, member) then
    if not is_bare then
      local added
      if ARGV[i + 3] == '' then
        added = redis.pcall('XADD', KEYS[5 + level], '*', 'm', ARGV[i + 2])
      else
        if into_lanes({ ARGV[i + 3] }, { ARGV[i + 2] }) then
          wake_one()
        end
        added = refused[ARGV[i + 3]]
      end
      if type(added) == 'table' then
        refusal = added
        break
      end
      replayed = replayed + 1
    end
    over[#over + 1] = member
  end
end
if #over > 0 then
  remove_members(over)
end
return refusal or replayed
