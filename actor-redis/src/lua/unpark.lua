-- Delivers to a worker what was parked until somebody comes who has the abilities that it needs. What is parked is
-- scheduled; the index `parked` only says what for and until when. Each message goes to the stream of what was released of its
-- priority and is read from there for this worker, so that nobody else gets it.
--
-- KEYS  scheduled, scheduled:bodies, scheduled:lanes, workers, parked, ready:high:released, ready:normal:released, ready:low:released,
--       then those of the gate, then those of unique keys
-- ARGV  worker, group, how many at most, then the abilities
-- Returns for each message: its level (0, 2, 4), its entry, its delivery count, its fields.

local scheduled, bodies, lanes, workers, parked = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local streams = { high = KEYS[6], normal = KEYS[7], low = KEYS[8] }
local levels = { [KEYS[6]] = 0, [KEYS[7]] = 2, [KEYS[8]] = 4 }
local me, group, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])
local FIRST = 4
-- How many hints are read at a time, and how many times at most: what was deleted or has become due is still in
-- the index.
local PAGE, PAGES = 64, 16
-- What is parked needs a few abilities, and a worker has many: where there are no more than these, only they are asked for.
local FEW = 16

if redis.call('ZSCORE', workers, 'paused') then
  return {}
end
-- A script whose first write only frees may go on where Redis is out of memory, as moving must.
redis.call('ZREM', workers, '')

local moved, pages, filled = 0, 0, {}
-- How many hints of an ability were passed over, since what they name has to wait for its limits.
local passed = 0

-- Moves what these hints name, as far as it may. Returns the error where a stream refuses.
local function move(hints)
  local members, dues = {}, {}
  for i, hint in ipairs(hints) do
    local due, member = string.match(hint, '^[^ ]* (%d+) (.*)$')
    dues[i], members[i] = due, member or ''
  end
  -- What was scheduled again since, as a retry, waits for its own time.
  local scores = redis.call('ZMSCORE', scheduled, unpack(members))
  local taken, over, refusal = {}, {}, nil
  for i, member in ipairs(members) do
    if is_read_enough() then
      break
    end
    local is_held_back = false
    local is_parked = scores[i] and tonumber(scores[i]) == tonumber(dues[i])
    local body = is_parked and redis.call('HMGET', bodies, member)[1]
    if body then
      note_read(body)
      local level, suspect, cost, lane_key, key = read_member(member)
      local slot
      if cost then
        slot = take_slot(lane_key, tonumber(cost))
        -- Where its limits are used up, it stays parked.
        is_held_back = not slot
      end
      local stream = streams[level] or streams.normal
      local fields = suspect == '+' and { 'm', body, 'suspect', 1 } or { 'm', body }
      if key then
        fields[#fields + 1], fields[#fields + 2] = 'u', key
      end
      if slot then
        fields[#fields + 1], fields[#fields + 2] = 'k', slot
      end
      local added = not is_held_back and redis.pcall('XADD', stream, '*', unpack(fields))
      if type(added) == 'table' then
        if slot then
          untake_slot()
        end
        refusal = added
        break
      end
      if not is_held_back then
        if key then
          move_holders({ key }, { 's:' .. member }, { levels[stream] .. ':' .. added })
        end
        filled[stream] = (filled[stream] or 0) + 1
        moved = moved + 1
        taken[#taken + 1] = member
      end
    end
    if is_held_back then
      passed = passed + 1
    else
      over[#over + 1] = hints[i]
    end
  end
  if #taken > 0 then
    redis.call('ZREM', scheduled, unpack(taken))
    redis.call('HDEL', bodies, unpack(taken))
    redis.call('HDEL', lanes, unpack(taken))
    redis.call('HDEL', due_unique, unpack(taken))
  end
  if #over > 0 then
    redis.call('ZREM', parked, unpack(over))
  end
  return refusal
end

local abilities, needed, after = {}, {}, '-'
for i = 0, FEW do
  local hint = redis.call('ZRANGEBYLEX', parked, after, '+', 'LIMIT', 0, 1)[1]
  if not hint then
    break
  elseif i == FEW then
    needed = nil
  else
    local ability = string.match(hint, '^[^ ]*')
    needed[ability], after = true, '[' .. ability .. '!'
  end
end
for i = FIRST, #ARGV do
  if not needed or needed[ARGV[i]] then
    abilities[#abilities + 1] = ARGV[i]
  end
end

for _, ability in ipairs(abilities) do
  local from, to = '[' .. ability .. ' ', '(' .. ability .. '!'
  local hints = {}
  passed = 0
  repeat
    local want = math.min(limit - moved, PAGE)
    if want <= 0 or is_read_enough() or pages == PAGES then
      break
    end
    hints = redis.call('ZRANGEBYLEX', parked, from, to, 'LIMIT', passed, want)
    if #hints > 0 then
      pages = pages + 1
      local refusal = move(hints)
      if refusal and moved == 0 then
        return refusal
      elseif refusal then
        pages = PAGES
      end
    end
  until #hints == 0
end
if redis.call('EXISTS', parked) == 0 then
  redis.call('ZREM', workers, 'parked')
end

local delivered = {}
for stream, count in pairs(filled) do
  -- Without a group they are ready for anybody.
  local read = redis.pcall('XREADGROUP', 'GROUP', group, me, 'COUNT', count, 'STREAMS', stream, '>')
  for _, of_stream in ipairs(read and not read.err and read or {}) do
    for _, entry in ipairs(of_stream[2]) do
      local id, fields = entry[1], entry[2]
      delivered[#delivered + 1] = { levels[stream], id, 1, fields }
    end
  end
end
return delivered
