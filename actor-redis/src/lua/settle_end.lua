end

local settled = settle()
if settled.err then
  return settled
end
local keys, slots, ran, charged, ran_count, ran_us = {}, {}, {}, {}, 0, 0
local place = {}
for i = 1, held_count do
  local at = 4 * (i - 1)
  local of = tonumber(held[at + 1])
  if of > 0 and settled[i] == 1 then
    local n = place[of]
    if not n then
      n = #keys + 1
      place[of], keys[n], slots[n], ran[n], charged[n] = n, held[4 * held_count + of], 0, 0, 0
    end
    slots[n] = slots[n] + held[at + 2]
    ran[n] = ran[n] + held[at + 3] * held[at + 2]
    charged[n] = charged[n] + held[at + 4]
    ran_count, ran_us = ran_count + 1, ran_us + held[at + 3]
  end
end
if #keys > 0 then
  free_slots(keys, slots, ran, charged, ran_count, ran_us)
end
return settled
