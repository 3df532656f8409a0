-- Read what is noted under a name, and the counters of the job whose id the name is. Changes nothing.
--
-- KEYS[1]  the note
-- KEYS[2]  the job's hash (keys.py)
--
-- Reply    the note or nil; and a list of total, success, failed, cancel, each or nil

return {
  redis.call('GET', KEYS[1]),
  redis.call('HMGET', KEYS[2], 'total', 'success', 'failed', 'cancel'),
}
