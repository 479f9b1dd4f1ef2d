// Package engine is the decision-making part of a subscription: a state
// machine without goroutines, clock, network or randomness.
//
// Inputs are methods of [Engine] (a watch was acknowledged, a frame, a page
// read, a cursor loaded, the consumer took or committed something, time
// passed); each one leaves [Command]s to be executed (open a watch, list, load,
// read, deliver). A thin shell executes them and feeds the results back. The
// same engine therefore runs over TCP, in a simulation and under a property
// test.
//
// # The model
//
// A notification is a hint: "this aggregate is dirty". Truth comes from reads.
// The engine is an informer with a work queue:
//
//   - shard.go subscribes: the links of every shard (a shard has several when
//     its filter does not fit one watch) are opened and acknowledged, found
//     silent or lost, and opened again after a backoff;
//   - scout.go tries one link for all while the node cannot be reached;
//   - fold.go turns notifications into dirty lanes, a lane being the state of
//     one aggregate that has work to do or uncommitted deliveries;
//   - reconcile.go lists a shard after its acknowledgement and marks what
//     differs from the stored cursors;
//   - schedule.go loads cursors and issues reads, at most one per lane, bounded
//     by readers and bytes, first in first out;
//   - resume.go, confirm.go and failure.go judge what a read answered, life.go says
//     what came of it;
//   - page.go holds the rules for trusting a page.
//
// # Memory
//
// A lane lives from the first hint until everything delivered of its aggregate
// is committed. At rest nothing is held per aggregate: cursors live in the
// checkpoint store. Too many lanes set the overflow mark of their shard, which
// is then reconciled again once the backlog has shrunk.
package engine
