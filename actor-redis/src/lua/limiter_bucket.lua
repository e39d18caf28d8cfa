-- Takes of a limiter's bucket, where it may, by the generic cell rate algorithm: one time says how much is used up.
--
-- KEYS  bucket: when all would be used up that was let through, in us since 1970
-- ARGV  us from one to the next, how many at once after a pause, how many can be used up at most, how many to take,
--       1 to take them and 0 to look only
-- Returns 1 where they were, or may be; us until they may be; how many are used up

local bucket = KEYS[1]
local interval, burst, most, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local takes = ARGV[5] == '1'
-- 100 years.
local LONGEST_MS = 100 * 365 * 24 * 3600 * 1000
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local function keep(allowed)
  local keep_ms = math.min(math.ceil((allowed - now) / 1000) + 1, LONGEST_MS)
  redis.call('SET', bucket, string.format('%.3f', allowed), 'PX', keep_ms)
end

local allowed = math.max(now, tonumber(redis.call('GET', bucket)) or 0)
if allowed > now + most * interval then
  -- No more than that is used up: it was of another rate, or Redis's clock went back.
  allowed = now + most * interval
  if takes then
    keep(allowed)
  end
end

-- What it costs more than the burst has to be saved up for.
local opens = allowed - interval * (burst - math.min(cost, burst))
local used = math.ceil((allowed - now) / interval)
if opens > now then
  return { 0, math.ceil(opens - now), used }
end
if takes then
  keep(allowed + interval * cost)
end
return { 1, 0, used }
