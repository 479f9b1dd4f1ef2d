// Package operators is what stands between a subscription and the code that
// uses its changes: typed decoding, batching, and the two ends that run
// handlers and store cursors.
//
//   - [ForEach] calls a handler, then stores the cursor: at least once.
//   - [Project] calls a handler inside a database transaction that stores the
//     cursors too: exactly once.
//   - [DecodeChange] turns the events of a change into Go values, by a registry of
//     package events.
//   - [Changes], [Expand], [Filter], [Decode] and [Batch] build a [Flow]: a
//     pull of slices for consumers that want to hold the loop themselves.
//
// # Positions
//
// Every [Slice] carries a [Mark] for each change it stands for. Filtering and
// expanding change the items and keep the marks, so [Slice.Entries] are always
// the cursors that may be stored once all items of the slice were handled,
// also for changes of which no item is left. A change is never split: all its
// items are in one slice.
//
// # Concurrency
//
// No operator starts a goroutine: a pull runs through all of them on the
// caller's, and the one goroutine boundary is the subscription's own. A Flow
// is for one goroutine at a time.
package operators
