// Package pool performs the requests of the Celeriant protocol on a bounded set
// of reused connections: reads, conditional writes, trims, deletes, details,
// schemas, lists over all shards, and watches.
//
//	p, err := pool.New(pool.Options{Address: "127.0.0.1:10000"})
//	version, err := p.WriteEvents(ctx, key, events, clientID, pool.WriteOptions{})
//	for batch, err := range p.ReadAll(ctx, key, msg.ReadFilters{}) { ... }
//
// # Connections
//
// The connection used last is used next, so that a pool keeps no more open than
// it needs; before use it is checked, without waiting, for a close by the node.
// At the ceiling callers wait in line, first come first served, until their
// context ends; every connection that is given back or closed wakes the first.
// A connection whose request was sent but whose answer was not read to the end
// is closed, always: on errors, timeouts and cancelled contexts alike. Every
// request carries a correlation id of its own and the answer's must be the same.
//
// # What is sent twice
//
// A request is sent once, with one exception: when a connection that had been
// idle turns out to be lost, the request is sent once more on a new connection,
// provided that it changes no data or that not one byte of it had been handed
// to the network. A write that may have been applied is never resent.
//
// # Errors
//
// Operations fail with an [*Error]. What the node answered is a
// *[msg.ServerError] in its chain and matches the sentinels of package msg; what
// happened on the way matches the sentinels of this package. For decisions ask
// [msg.Ambiguous] (it may have been applied), [msg.SafeToRetry] (it was
// certainly not, and the same request may succeed) and [msg.Timeout].
package pool
