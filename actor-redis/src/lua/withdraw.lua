-- Removes ready messages, each unless it is in flight, and frees the slots that they hold. What is in flight is left to
-- its worker, and noted as cancelled where its id is given.
--
-- KEYS  workers, cancelled, ready:high:released, ready:high, ready:normal:released, ready:normal, ready:low:released,
--       ready:low, then those of the gate, then those of unique keys
-- ARGV  group, then for each message: level (0 to 5), entry, id ('' for what is not cancelled)
-- Returns for each message: 'removed', 'in flight', or 'gone'.

local workers, cancelled, READY = KEYS[1], KEYS[2], 3
local group = ARGV[1]

-- A script whose first write only frees may go on where Redis is out of memory, as removing must.
redis.call('ZREM', workers, '')

local answers, noted, removed = {}, {}, {}
for i = 2, #ARGV, 3 do
  local stream, entry, id = KEYS[READY + ARGV[i]], ARGV[i + 1], ARGV[i + 2]
  -- Without a group nothing is in flight.
  local pending = redis.pcall('XPENDING', stream, group, entry, entry, 1)
  local found = redis.call('XRANGE', stream, entry, entry)[1]
  local key = found and key_of_entry(found[2])
  if not pending.err and #pending > 0 then
    answers[#answers + 1] = 'in flight'
    noted[#noted + 1] = id ~= '' and id or nil
  elseif found then
    redis.call('XDEL', stream, entry)
    drop_slot(found[2])
    answers[#answers + 1] = 'removed'
    if key then
      give_up({ key }, { ARGV[i] .. ':' .. entry })
    end
    removed[#removed + 1] = id ~= '' and id or nil
  else
    answers[#answers + 1] = 'gone'
  end
end
free_dropped()
if #removed > 0 then
  redis.call('ZREM', cancelled, unpack(removed))
end
if #noted > 0 then
  note_cancelled(cancelled, workers, noted)
end
return answers
