-- Ends what `settle_begin.lua` began: frees what was held by the messages that were settled, or notes where they are now.
--
-- KEYS  those of the script
-- ARGV  those of the script
-- Returns what the script does.

end

local settled = settle()
if settled.err then
  return settled
end
local keys, slots, ran, charged, ran_count, ran_us = {}, {}, {}, {}, 0, 0
local place = {}
local moved, moved_from, moved_to, ended, ended_at = {}, {}, {}, {}, {}
for i = 1, held_count do
  local at = HELD_WIDTH * (i - 1)
  local of, unique = tonumber(held[at + 1]), tonumber(held[at + 5])
  local is_settled = settled[i] == 1 or settled[i] == 'cancelled'
  if of > 0 and is_settled then
    local n = place[of]
    if not n then
      n = #keys + 1
      place[of], keys[n], slots[n], ran[n], charged[n] = n, held[HELD_WIDTH * held_count + of], 0, 0, 0
    end
    slots[n] = slots[n] + held[at + 2]
    ran[n] = ran[n] + held[at + 3] * held[at + 2]
    charged[n] = charged[n] + held[at + 4]
    ran_count, ran_us = ran_count + 1, ran_us + held[at + 3]
  end
  if unique > 0 and is_settled then
    local key = held[HELD_WIDTH * held_count + unique]
    if stored_as[i] then
      local n = #moved + 1
      moved[n], moved_from[n], moved_to[n] = key, held[at + 6], stored_as[i]
      local member = string.match(stored_as[i], '^s:(.*)$')
      if member then
        redis.call('HSET', due_unique, member, key)
      end
    else
      ended[#ended + 1], ended_at[#ended + 1] = key, held[at + 6]
    end
  end
end
if #moved > 0 then
  move_holders(moved, moved_from, moved_to)
end
if #ended > 0 then
  give_up(ended, ended_at)
end
if #keys > 0 then
  free_slots(keys, slots, ran, charged, ran_count, ran_us)
end
return settled
