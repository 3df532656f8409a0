-- Raise the cancel flag, with or without counters. Repeating it changes nothing.
--
-- KEYS[1]  the job's hash (keys.py)
-- ARGV[1]  seconds to live
--
-- Reply    1

redis.call('HSET', KEYS[1], 'cancel', '1')
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1
