package redisstore

import "github.com/redis/go-redis/v9"

// keys of a subscription, in the order in which scripts take them.
const (
	keyOwn = iota
	keyCursors
	keyRecords
	keyKeys
	keyOp // the last; those that handlers read and write follow
)

// look reads own, cursors, records and how many records lie below a prefix. Its
// arguments are the number of cursors and their fields, the number of records and
// their keys, and the bounds of the prefix or two empty texts. A missing value is an
// empty text, which no stored value is.
var look = redis.NewScript(`
local at = 1
local function take() at = at + 1 return ARGV[at - 1] end
local function fields(key)
	local n, found = tonumber(take()), {}
	while #found < n do
		local count = math.min(n - #found, 1000)
		for _, v in ipairs(redis.call('HMGET', key, unpack(ARGV, at, at + count - 1))) do
			found[#found + 1] = v or ''
		end
		at = at + count
	end
	return found
end
local cursors, records = fields(KEYS[2]), fields(KEYS[3])
local low, high, count = take(), take(), 0
if low ~= '' then count = redis.call('ZLEXCOUNT', KEYS[4], low, high) end
return {redis.call('GET', KEYS[1]) or '', cursors, records, count}
`)

// list returns the records below a prefix, key and value in turns, behind the server's
// time.
var list = redis.NewScript(`
local now = redis.call('TIME')
local found = {now[1], now[2]}
for _, key in ipairs(redis.call('ZRANGEBYLEX', KEYS[4], ARGV[1], ARGV[2])) do
	local value = redis.call('HGET', KEYS[3], key)
	if value then
		found[#found + 1] = key
		found[#found + 1] = value
	end
end
return found
`)

// change compares and writes. Its arguments are: own as it must be, and as it becomes
// or an empty text; what is removed beside, "all", "partitions" or nothing; the bounds
// of a prefix and the number of records that must be below it, or three empty texts;
// the channel of signals, and the name to be told there; then four lists, each behind
// its length: cursors as field, present value, next value; records as key, present
// value, next value; values that the handler read, as number of the key, field or empty text, present
// value; and its writes, as command, number of the key, two arguments.
//
// The script returns "changed" if a value of the checkpoint is not the expected one,
// "read" if a value that the handler read has changed, "type" if a key of the model holds
// another type than the command is for, and "ok". No command fails after the first write.
var change = redis.NewScript(`
local at = 1
local function take() at = at + 1 return ARGV[at - 1] end
if redis.call('EXISTS', KEYS[5]) == 1 then return 'ok' end
local own, nextOwn, remove = take(), take(), take()
local low, high, count = take(), take(), take()
local channel, name = take(), take()
if (redis.call('GET', KEYS[1]) or '') ~= own then return 'changed' end
if low ~= '' and redis.call('ZLEXCOUNT', KEYS[4], low, high) ~= tonumber(count) then return 'changed' end
local body = at
for part = 2, 3 do
	for _ = 1, tonumber(take()) do
		if (redis.call('HGET', KEYS[part], take()) or '') ~= take() then return 'changed' end
		at = at + 1
	end
end
for _ = 1, tonumber(take()) do
	local key, field, value = KEYS[tonumber(take())], take(), take()
	local found = redis.call('TYPE', key)['ok']
	if found ~= 'none' and found ~= (field == '' and 'string' or 'hash') then return 'type' end
	if field == '' then found = redis.call('GET', key) else found = redis.call('HGET', key, field) end
	if (found or '') ~= value then return 'read' end
end
local types = {SET = 'string', HSET = 'hash', HDEL = 'hash', SADD = 'set', SREM = 'set', ZADD = 'zset', ZREM = 'zset'}
local writes = at
for _ = 1, tonumber(take()) do
	local want, key = types[take()], KEYS[tonumber(take())]
	at = at + 2
	if want and want ~= 'string' then
		local found = redis.call('TYPE', key)['ok']
		if found ~= 'none' and found ~= want then return 'type' end
	end
end
redis.call('SET', KEYS[5], '', 'PX', 60000)
if nextOwn ~= '' then redis.call('SET', KEYS[1], nextOwn) end
if remove == 'all' then
	redis.call('DEL', KEYS[2], KEYS[3], KEYS[4])
elseif remove == 'partitions' then
	for _, key in ipairs(redis.call('ZRANGEBYLEX', KEYS[4], '[partition/', '(partition0')) do
		redis.call('HDEL', KEYS[3], key)
		redis.call('ZREM', KEYS[4], key)
	end
end
at = body
for _ = 1, tonumber(take()) do
	local field, _, value = take(), take(), take()
	if value ~= '' then redis.call('HSET', KEYS[2], field, value) end
end
for _ = 1, tonumber(take()) do
	local key, before, value = take(), take(), take()
	if value == '' then
		redis.call('HDEL', KEYS[3], key)
		redis.call('ZREM', KEYS[4], key)
	elseif value ~= before then
		redis.call('HSET', KEYS[3], key, value)
		redis.call('ZADD', KEYS[4], 0, key)
	end
end
at = writes
for _ = 1, tonumber(take()) do
	local command, key, a, b = take(), KEYS[tonumber(take())], take(), take()
	if command == 'DEL' then redis.call('DEL', key)
	elseif command == 'HSET' or command == 'ZADD' then redis.call(command, key, a, b)
	else redis.call(command, key, a) end
end
redis.call('PUBLISH', channel, name)
return 'ok'
`)
