-- Add what rows took with a handler. What was noted before counts half whenever much has come together.
--
-- KEYS[1]  the handler's hash (keys.py)
-- ARGV[1]  rows
-- ARGV[2]  seconds that they took
-- ARGV[3]  seconds from which on what is there is halved
-- ARGV[4]  seconds to live
--
-- Reply    1
--
-- A repeat counts twice, which does no harm: the two are only ever divided.

local rows = tonumber(redis.call('HGET', KEYS[1], 'rows') or '0') + tonumber(ARGV[1])
local seconds = tonumber(redis.call('HGET', KEYS[1], 'seconds') or '0') + tonumber(ARGV[2])
if seconds > tonumber(ARGV[3]) then
  rows, seconds = rows / 2, seconds / 2
end
redis.call('HSET', KEYS[1], 'rows', string.format('%.3f', rows), 'seconds', string.format('%.9f', seconds))
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
