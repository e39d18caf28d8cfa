-- Cancels a message that is scheduled. Where it is elsewhere, and no dead letter, it is noted as cancelled, so that
-- whatever becomes of it while it is looked for, it is not stored again.
--
-- KEYS  scheduled, scheduled:bodies, scheduled:lanes, dead, workers, cancelled, then those of unique keys
-- ARGV  id, the members of `scheduled` that it may have
-- Returns 'removed', 'dead', or 'noted'.

local scheduled, bodies, lanes, dead, workers, cancelled = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local id, members = ARGV[1], { unpack(ARGV, 2) }

-- A script whose first write only frees may go on where Redis is out of memory, as cancelling must.
redis.call('ZREM', scheduled, '')
if redis.call('ZREM', scheduled, unpack(members)) > 0 then
  redis.call('HDEL', bodies, unpack(members))
  redis.call('HDEL', lanes, unpack(members))
  free_members(members)
  return 'removed'
end
if redis.call('ZSCORE', dead, id) then
  return 'dead'
end
note_cancelled(cancelled, workers, { id })
return 'noted'
