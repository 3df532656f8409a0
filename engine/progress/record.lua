-- Set one chunk's counts and move the sums by the difference. Repeating it changes nothing.
--
-- KEYS[1]  the job's hash (keys.py)
-- ARGV[1]  chunk_index
-- ARGV[2]  attempt
-- ARGV[3]  rows that succeeded in this attempt so far
-- ARGV[4]  rows that failed in this attempt so far
-- ARGV[5]  1 when the chunk is committed, else 0
-- ARGV[6]  seconds to live
--
-- Reply    -1 the counters are missing, nothing was changed; 1 a cancel was requested; 0 it was not

local sums = redis.call('HMGET', KEYS[1], 'success', 'cancel', ARGV[1])
if not sums[1] then
  return -1
end

local old_attempt, old_success, old_failed, old_done = 0, 0, 0, '0'
if sums[3] then
  local attempt, success, failed, done = string.match(sums[3], '^(%d+):(%d+):(%d+):([01])$')
  old_attempt, old_success, old_failed, old_done = tonumber(attempt), tonumber(success), tonumber(failed), done
end

if old_done == '0' and tonumber(ARGV[2]) >= old_attempt then
  redis.call('HSET', KEYS[1], ARGV[1], table.concat({ARGV[2], ARGV[3], ARGV[4], ARGV[5]}, ':'))
  -- '%.0f': large numbers must not turn into 1e+15.
  redis.call('HINCRBY', KEYS[1], 'success', string.format('%.0f', tonumber(ARGV[3]) - old_success))
  redis.call('HINCRBY', KEYS[1], 'failed', string.format('%.0f', tonumber(ARGV[4]) - old_failed))
end
redis.call('EXPIRE', KEYS[1], ARGV[6])
return sums[2] and 1 or 0
