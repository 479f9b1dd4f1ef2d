// Package await waits until a read model has handled a certain version of an
// aggregate, so that one's own write is seen by one's next read.
//
//	version, err := client.WriteEvents(ctx, key, events, me)
//	…
//	err = client.Await(ctx, store, "orders", key, version)
//
// Client.Await is [Waiters.Await] with the client's leader.
//
// A wait is satisfied once the cursor stored under the name stands at or beyond the
// version, and the batch at that cursor is still the leader's: otherwise the cursor
// belongs to an earlier life of the aggregate. With a projection the effect is
// committed together with the cursor, with a handler before it.
//
// Where the consumer runs in the same process, its commits wake the waiters; a store
// that notifies does it for others. Apart from that all waiters of a process look
// together, once a second. Without a waiter nothing runs and nothing is asked.
//
// A [Token] carries what to wait for in a header, to another process.
package await
