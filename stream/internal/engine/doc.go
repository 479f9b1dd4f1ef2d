// Package engine is the decision-making part of a subscription: a state
// machine without goroutines, clock, network or randomness.
//
// Inputs are methods of [Engine] (a watch was acknowledged, a frame, a page
// read, a cursor loaded, the consumer took, committed, holds or releases something,
// partitions were gained, time passed); each one leaves [Command]s to be executed
// (open a watch, list, load, read, deliver). A thin shell executes them and feeds the
// results back. The same engine therefore runs over TCP, in a simulation and under a
// property test.
//
// # The way of a notification
//
//	fold.go       a notification becomes a dirty lane
//	load.go       the lane's cursor is looked up
//	schedule.go   a pass begins, and a read is issued
//	judge.go      the answer is judged: a verdict, without effects
//	apply.go      the verdict is carried out: deliver, go on, ask the leader, wait, rest
//
// Beside it: shard.go and shards.go keep links and shards, reconnect.go tries one link while
// no node can be reached, follow.go watches who leads and who lags, reconcile.go lists a
// shard and marks what differs from the stored cursors, doubt.go looks again at what was
// heard of and does not show, start.go begins a subscription where the store is now,
// hold.go and owned.go do what the consumer wishes, later.go is the one queue of all
// that waits for time.
//
// # A lane
//
// A lane is the state of one aggregate that has work to do or uncommitted deliveries.
// A lane has four parts: work (where it stands), heard (what notifications and lists told
// since the pass began), known (cursor, floor, life and what proves them) and read (the
// pass under way). A pass begins with a new read; nothing is reset by hand.
//
// # Invariants
//
//   - At most one read of a lane is under way; what is read ahead fits the buffer.
//   - Only the leader's word makes something absent; a page continues what is known.
//   - A cursor is proved by its batch, or by the floor while nothing was heard of another life.
//   - What was heard of and does not show is looked for again; hints outlive answers.
//   - A cursor that is held of an aggregate at rest equals the stored one.
//   - No step goes through what waits: lanes and shards wait in queues, and are counted.
//   - A shard that is counted as current holds CaughtUp up no more; so does every lane
//     that has delivered what was committed before the acknowledgement.
//
// # Memory
//
// A lane lives from the first hint until everything delivered of its aggregate
// is committed. At rest nothing is held per aggregate: cursors live in the
// checkpoint store. Too many lanes set the overflow mark of their shard, which
// is then reconciled again once the backlog has shrunk. Pages of lists are looked up in
// parts, and changes without a batch count against the buffer, too.
package engine
