-- Frees what messages held that are ready and leave, for the scripts after it.
--
-- KEYS  those of the script
-- ARGV  those of the script
-- Returns nothing.

local dropped_keys, dropped_slots, dropped_runs, dropped_charges, dropped_place = {}, {}, {}, {}, {}

-- Notes what an entry with these fields holds. Returns its cost and its key; nothing where it holds none.
local function drop_slot(fields)
  for i = 3, #fields, 2 do
    local cost, charged, key = string.match(fields[i + 1], '^(%d+) (%d+) (.*)$')
    if fields[i] == 'k' and cost then
      local n = dropped_place[key]
      if not n then
        n = #dropped_keys + 1
        dropped_place[key], dropped_keys[n] = n, key
        dropped_slots[n], dropped_runs[n], dropped_charges[n] = 0, 0, 0
      end
      dropped_slots[n], dropped_charges[n] = dropped_slots[n] + cost, dropped_charges[n] + charged
      return cost, key
    end
  end
end

-- Frees all that was noted. Nothing of it ran, so nobody is charged for it.
local function free_dropped()
  if #dropped_keys > 0 then
    free_slots(dropped_keys, dropped_slots, dropped_runs, dropped_charges, 0, 0)
  end
end

