-- Make the counters exactly what is given. A requested cancel stays. Repeating it changes nothing.
--
-- KEYS[1]  the job's hash (keys.py)
-- ARGV[1]  rows of the source, or '' when not known yet
-- ARGV[2]  the committed chunks: 'chunk_index:success:failed;' for each, or ''
-- ARGV[3]  1 to leave counters that exist as they are, else 0
-- ARGV[4]  seconds to live
--
-- Reply    1 the counters were made; 0 they existed and were left
--
-- One script rather than several, so that no count recorded meanwhile can fall between two of them.

if ARGV[3] == '1' and redis.call('HEXISTS', KEYS[1], 'success') == 1 then
  redis.call('EXPIRE', KEYS[1], ARGV[4])
  return 0
end

local cancel = redis.call('HGET', KEYS[1], 'cancel')
redis.call('UNLINK', KEYS[1])

local success_sum, failed_sum = 0, 0
local fields = {}
for chunk_index, success, failed in string.gmatch(ARGV[2], '(%d+):(%d+):(%d+);') do
  fields[#fields + 1] = chunk_index
  fields[#fields + 1] = '0:' .. success .. ':' .. failed .. ':1'
  success_sum = success_sum + tonumber(success)
  failed_sum = failed_sum + tonumber(failed)
  -- Lua can pass some 8,000 arguments to a function.
  if #fields >= 4000 then
    redis.call('HSET', KEYS[1], unpack(fields))
    fields = {}
  end
end
if #fields > 0 then
  redis.call('HSET', KEYS[1], unpack(fields))
end

redis.call('HSET', KEYS[1],
  'success', string.format('%.0f', success_sum),
  'failed', string.format('%.0f', failed_sum))
if ARGV[1] ~= '' then
  redis.call('HSET', KEYS[1], 'total', ARGV[1])
end
if cancel then
  redis.call('HSET', KEYS[1], 'cancel', cancel)
end
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
