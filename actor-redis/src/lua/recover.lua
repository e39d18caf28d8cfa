-- Recovers what dead workers held for a living one. The consumer groups say who holds what; a consumer
-- without a live lease is dead, also where its entry in `workers` is gone. Where nobody dead holds
-- anything, what was delivered and is held by nobody is delivered: the group's knowledge of it was deleted. A
-- worker whose own lease has ended receives nothing: it could get back an entry that it had already
-- lost, and its late answer to the first delivery would count for the second.
--
-- A death counts as a crash of what the worker held, unless it had begun to stop: then as an interruption. The
-- delivery count of an entry holds both: 1, its crashes, and 2^32 for each interruption.
--
-- What another dead worker held before is delivered last, and alone: its next crash may dead-letter it, and whoever takes
-- it may want to run it with nothing beside it.
--
-- KEYS  workers, wake, ready:high:released, ready:high, ready:normal:released, ready:normal, ready:low:released,
--       ready:low
-- ARGV  worker, group, how many at most, how many dead workers at most, ms by which the leases of others
--       last longer: nobody could renew in that time; when this was asked for, in ms since 1970 ('' where
--       that is not known)
-- Returns for each message: its level (0 to 5), its entry, its delivery count, its fields.

local workers, wake = KEYS[1], KEYS[2]
local READY = 3
local me, group = ARGV[1], ARGV[2]
local limit, most_dead, grace_ms = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local CRASH, INTERRUPTION = 1, 4294967296
-- How long a worker that was declared dead may be away and still learn of it.
local LOST_MS = 24 * 3600 * 1000
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- What was asked for a while ago stood before a server that stood still, or whose clock was put forward, and
-- the renewals of others may stand behind it.
grace_ms = grace_ms + math.max(0, now - (tonumber(ARGV[6]) or now))

local live, ended = {}, {}
local leases = redis.call('ZRANGE', workers, 0, -1, 'WITHSCORES')
for i = 1, #leases, 2 do
  local ends = tonumber(leases[i + 1])
  if ends > now or (leases[i] ~= me and ends > 0 and ends + grace_ms > now) then
    live[leases[i]] = true
  elseif leases[i] ~= 'paused' and leases[i] ~= 'parked' and leases[i] ~= 'gated' then
    ended[leases[i]] = true
  end
end
if not live[me] then
  return {}
end

local taken = {}

-- Takes note of what was taken. No more is, where all of it has grown large.
local weight = 0
local function took(fields)
  weight = weight + #(fields[2] or '')
  if weight >= most_bytes then
    limit = #taken
  end
end

-- Whether another worker died with it, as this entry or as one before it, which a field says.
local function is_suspect(count, fields)
  return count % INTERRUPTION > 1 or fields[3] == 'suspect'
end

-- Entries of one worker read in each stream: what is no suspect must not wait for those that are.
local window = math.max(limit, 256)
-- The first suspect, which is delivered where there is nothing else, and who holds it.
local suspect, holder
-- How much more may be read: an entry is one, and a KiB of a suspect's body is one. Where many workers
-- died of one message, all that they held may be suspects, and each call of this delivers one of them.
local patience = 4096

-- Takes what `worker` holds at one level, with what each delivery count grows by. Returns how many messages it
-- still holds there.
local function take(place, stream, worker, holds, counted)
  if holds == 0 or #taken == limit or patience <= 0 then
    return holds
  end
  for _, pending in ipairs(redis.call('XPENDING', stream, group, '-', '+', window, worker)) do
    if #taken == limit or patience <= 0 then
      break
    end
    patience = patience - 1
    local id, count = pending[1], pending[4]
    -- A second suspect is not even read.
    local is_spared = suspect and count % INTERRUPTION > 1
    local entry = not is_spared and redis.call('XRANGE', stream, id, id)[1]
    local fields = entry and entry[2]
    if is_spared then
      -- It stays where it is.
    elseif not fields then
      -- It was deleted by hand.
      redis.call('XACK', stream, group, id)
      redis.call('XDEL', stream, id)
      holds = holds - 1
    elseif is_suspect(count, fields) then
      patience = patience - #(fields[2] or '') / 1024
      if not suspect then
        suspect, holder = { place, id, count + counted, fields }, worker
      end
    else
      redis.call('XCLAIM', stream, group, me, 0, id, 'RETRYCOUNT', count + counted, 'JUSTID')
      taken[#taken + 1] = { place, id, count + counted, fields }
      took(fields)
      holds = holds - 1
    end
  end
  return holds
end

local function is_mark(member)
  return string.find(member, ':dead$') or string.find(member, ':stopping$') or string.find(member, ':lost$')
end

-- It is declared dead in the step that takes from it, and learns of it when it comes back. A script whose first
-- write only frees may go on where Redis is out of memory, as recovery must.
local function declare_dead(worker, ...)
  redis.call('ZREM', workers, worker, ...)
  redis.call('ZADD', workers, now + LOST_MS, worker .. ':lost')
end

local holds, counts, count = {}, {}, 0
for i = READY, #KEYS do
  local stream = KEYS[i]
  -- A stream or group that is missing holds nothing.
  for _, consumer in ipairs(redis.pcall('XINFO', 'CONSUMERS', stream, group)) do
    local worker = consumer[2]
    if not live[worker] then
      if not holds[worker] and count < most_dead then
        declare_dead(worker)
        local was_stopping = redis.call('ZSCORE', workers, worker .. ':stopping')
        counts[worker] = was_stopping and INTERRUPTION or CRASH
        holds[worker], count = 0, count + 1
      end
      if holds[worker] then
        local left = take(i - READY, stream, worker, consumer[4], counts[worker])
        holds[worker] = holds[worker] + left
        if left == 0 then
          redis.call('XGROUP', 'DELCONSUMER', stream, group, worker)
        end
      end
    end
  end
end

-- What woke the dead is nobody's.
for _, consumer in ipairs(redis.pcall('XINFO', 'CONSUMERS', wake, group)) do
  if not live[consumer[2]] then
    redis.call('XGROUP', 'DELCONSUMER', wake, group, consumer[2])
  end
end

if #taken == 0 and suspect then
  local place, id, count = suspect[1], suspect[2], suspect[3]
  redis.call('XCLAIM', KEYS[READY + place], group, me, 0, id, 'RETRYCOUNT', count, 'JUSTID')
  taken[1] = suspect
  holds[holder] = holds[holder] - 1
end

for worker, left in pairs(holds) do
  -- The mark stands until all it held is taken.
  if left > 0 then
    redis.call('ZADD', workers, 0, worker .. ':dead')
  else
    redis.call('ZREM', workers, worker .. ':dead', worker .. ':stopping')
  end
  ended[worker], ended[worker .. ':dead'], ended[worker .. ':stopping'] = nil, nil, nil
end
if count < most_dead then
  -- These held nothing, or are marks whose time is up.
  for worker in pairs(ended) do
    if is_mark(worker) then
      redis.call('ZREM', workers, worker)
    else
      declare_dead(worker, worker .. ':stopping')
    end
  end
end

-- Entries read from each stream's beginning: what is lost is there in time.
local beginning = 20

-- Takes what was delivered before and is held by nobody, as if it had been delivered once.
local function recover_unheld(place, stream)
  local last = last_delivered(stream, group)
  if not last then
    return
  end
  for _, entry in ipairs((read_entries(stream, '-', last, beginning))) do
    local id, fields = entry[1], entry[2]
    if #taken < limit and #redis.call('XPENDING', stream, group, id, id, 1) == 0 then
      if #taken == 0 or not is_suspect(1, fields) then
        redis.call('XCLAIM', stream, group, me, 0, id, 'RETRYCOUNT', 2, 'FORCE')
        taken[#taken + 1] = { place, id, 2, fields }
        took(fields)
        if is_suspect(1, fields) then
          limit = 1
        end
      end
    end
  end
end

if #taken == 0 then
  -- Every stream: a recovery is too rare to leave it to chance which of them is read. One
  -- command tells which of them hold anything, for an idle worker asks this more often than anything is there.
  local question = { 'COUNT', 1, 'STREAMS' }
  for i = READY, #KEYS do
    question[#question + 1] = KEYS[i]
  end
  for _ = READY, #KEYS do
    question[#question + 1] = '0-0'
  end
  local filled = {}
  for _, first in ipairs(redis.call('XREAD', unpack(question)) or {}) do
    filled[first[1]] = true
  end
  for place = 0, #KEYS - READY do
    if #taken < limit and filled[KEYS[READY + place]] then
      recover_unheld(place, KEYS[READY + place])
    end
  end
end
return taken
