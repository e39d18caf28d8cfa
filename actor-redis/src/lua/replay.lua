-- Makes dead letters ready again, each only while it is dead. Whoever replays one wants it to run, so that it is
-- cancelled no more.
--
-- KEYS  dead, dead:bodies, dead:reasons, dead:pruned, cancelled, ready:high:released, ready:high,
--       ready:normal:released, ready:normal, ready:low:released, ready:low, then those of the gate, then those of unique
--       keys, then its own: the result of each message
-- ARGV  group, then for each message: member, level (0 to 5), body, the end of its lane's name ('' where it has none), its cost,
--       its unique key ('' where it has none), its id, and the place of its result among the script's own keys ('' where its id
--       is not known); the level and the body are '' where it has no body, and is only removed; then how many own keys
-- Returns how many are ready again, how many stay since another message holds their unique key, and the id of the first of
-- those messages.

local dead, bodies, cancelled, READY = KEYS[1], KEYS[2], KEYS[5], 6

-- A script whose first write only frees may go on where Redis is out of memory, as moving must.
redis.call('ZREM', dead, '')
local cancels = any_cancelled(cancelled)

local group = ARGV[1]
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local over, replayed, refusal, left, holder = {}, 0, nil, 0, ''

-- Makes a message ready or puts it into its lane. Returns its place, or the error.
local function revive(level, body, list, cost, key, id)
  if list ~= '' then
    local text = key ~= '' and into_lane_bodies(id, '', cost, key, body) or cost .. ' ' .. body
    if into_lanes({ list }, { text }) then
      wake_one()
    end
    return refused[list] or 'l:' .. id
  end
  local added
  if key ~= '' then
    added = redis.pcall('XADD', KEYS[READY + level], '*', 'm', body, 'u', key)
  else
    added = redis.pcall('XADD', KEYS[READY + level], '*', 'm', body)
  end
  return type(added) == 'table' and added or level .. ':' .. added
end

for i = 2, #ARGV, 8 do
  local member, level = ARGV[i], ARGV[i + 1]
  local is_bare = level == '' and redis.call('HEXISTS', bodies, member) == 0
  if (level ~= '' or is_bare) and redis.call('ZSCORE', dead, member) then
    local key, id = ARGV[i + 5], ARGV[i + 6]
    local held_by = not is_bare and key ~= '' and holder_of(key, group)
    if held_by then
      left, holder = left + 1, holder == '' and held_by or holder
    else
      if not is_bare then
        local place = revive(level, ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], key, id)
        if type(place) == 'table' then
          refusal = place
          break
        end
        if key ~= '' then
          redis.call('HSET', holders, key, id .. ' ' .. now .. ' ' .. place)
        end
        replayed = replayed + 1
        local cancelled_id = cancels and id_of(ARGV[i + 2])
        if cancelled_id then
          redis.call('ZREM', cancelled, cancelled_id)
        end
        -- It has not ended after all.
        if ARGV[i + 7] ~= '' then
          redis.call('DEL', own_keys[tonumber(ARGV[i + 7])])
        end
      end
      over[#over + 1] = member
    end
  end
end
if #over > 0 then
  remove_members(over)
end
return refusal or { replayed, left, holder }
