-- Say how many rows the source has. Changes nothing when the counters are missing: a field by itself
-- would be thrown away when they are made.
--
-- KEYS[1]  the job's hash (keys.py)
-- ARGV[1]  rows of the source
-- ARGV[2]  seconds to live
--
-- Reply    1 it was set; 0 the counters are missing

if redis.call('HEXISTS', KEYS[1], 'success') == 0 then
  return 0
end
redis.call('HSET', KEYS[1], 'total', ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
