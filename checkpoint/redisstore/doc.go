// Package redisstore keeps checkpoints in Redis or Valkey, a cluster included, and
// read models there with them, exactly once.
//
//	rdb := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
//	store, err := redisstore.Open(ctx, rdb, redisstore.Options{})
//	…
//	orders := client.Watch(scope, celeriant.WithName("orders"), celeriant.WithCheckpoints(store))
//	err = operators.ProjectIn(ctx, orders, store, func(ctx context.Context, tx *redisstore.Tx, changes []stream.Change) error {
//		return apply(ctx, tx, changes)
//	})
//
// Every change is one script, which is atomic: it compares what the change was decided
// on with what is stored, and writes only if all of it is still so. [Store.Transact],
// which operators.ProjectIn calls, carries the writes of a handler in the same script;
// see [Tx].
//
// # Keys
//
// All keys of a subscription have one hash tag, so that a cluster keeps them in one
// slot: "celeriant:{<name in hexadecimal digits>}:" with
//
//	own      the newest claim: u8 format, u64 epoch, u8 claimed, 16 bytes token,
//	         u64 inquiries, scope
//	cursors  hash: 48-byte key → checkpoint.Cursor in binary
//	records  hash: record key → value
//	keys     sorted set of the record keys
//	op:<id>  a change that was applied, for a minute: go-redis repeats what it got no
//	         answer to
//	model:…  what handlers wrote
//
// "celeriant:{}" is the tag of the records of the store as a whole, and "celeriant:names"
// the set of names.
//
// # Failures
//
// Redis acknowledges before the change is on a disk, or at a replica: with
// "appendfsync everysec" a machine that loses its power loses a second, and a replica
// that is promoted lacks what had not reached it. Effect and cursor are lost together,
// and so are claims: an owner whose claim was lost is fenced, and handles nothing under
// it any more. A read model may show older rows than before. A primary that was cut
// off and goes on with clients of its own side has owners of its own, until it is
// demoted and loses all they did: the fence holds on each side by itself. Set
// min-replicas-to-write to bound that.
//
// Redis must not evict keys: Open refuses a server whose maxmemory-policy takes keys
// without an expiry. A server that is full refuses changes, and nothing is lost.
//
// # Least privilege
//
// A user needs the keys and the channel of the store's prefix, and these commands:
//
//	ACL SETUSER consumer on >secret ~celeriant:* &celeriant:* +@connection +@read +@write +@pubsub +@scripting -@dangerous +info +time
package redisstore
