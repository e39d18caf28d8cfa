-- Releases messages in flight, each only while this worker holds it, to go before what waits of its priority.
--
-- KEYS  cancelled, ready:high:released, ready:high, ready:normal:released, ready:normal, ready:low:released, ready:low,
--       then those of the gate and of unique keys
-- ARGV  worker, group, then for each message: level (0 to 5), entry, body, 1 for a suspect, the slot and the unique key
--       that it holds and keeps ('' for none)
-- Returns for each message: 1, 0 where this worker does not hold it, 'cancelled' where it was, and has ended, or the
-- error.

local cancelled, READY = KEYS[1], 2
local me, group = ARGV[1], ARGV[2]

-- A script whose first write only frees may go on where Redis is out of memory, as settling must.
redis.call('XDEL', KEYS[READY], '0-0')

local cancels = any_cancelled(cancelled)

local function release(level, entry, body, suspect, slot, key)
  local stream, released = KEYS[READY + level], KEYS[READY + level - level % 2]
  if #redis.call('XPENDING', stream, group, entry, entry, 1, me) == 0 then
    return 0
  end
  local ends = cancels and ends_cancelled(cancelled, id_of(body))
  local added
  -- What was cancelled is not stored again.
  if ends then
    drop_slot({ 'm', '', 'k', slot })
  else
    local fields = suspect == '1' and { 'm', body, 'suspect', 1 } or { 'm', body }
    if key ~= '' then
      fields[#fields + 1], fields[#fields + 2] = 'u', key
    end
    if slot ~= '' then
      fields[#fields + 1], fields[#fields + 2] = 'k', slot
      -- It goes before those that wait: the next grant counts it.
      redis.pcall('HSET', gate, 'r', 1)
    end
    added = redis.call('XADD', released, '*', unpack(fields))
  end
  -- Only now, where it is stored again, may it go here.
  redis.call('XACK', stream, group, entry)
  redis.call('XDEL', stream, entry)
  if key ~= '' and ends then
    give_up({ key }, { level .. ':' .. entry })
  elseif key ~= '' then
    move_holders({ key }, { level .. ':' .. entry }, { (level - level % 2) .. ':' .. added })
  end
  return ends and 'cancelled' or 1
end

local answers = {}
for i = 3, #ARGV, 6 do
  local ok, answer =
    pcall(release, tonumber(ARGV[i]), ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5])
  if not ok then
    answer = redis.error_reply(type(answer) == 'table' and answer.err or answer)
  end
  answers[#answers + 1] = answer
end
free_dropped()
return answers
