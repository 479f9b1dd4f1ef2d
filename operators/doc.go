// Package operators connects a subscription with the code that uses its changes:
// typed decoding, batching, and the two ends that run handlers and store cursors.
//
//   - [ForEach] calls a handler, then stores the cursor: at least once.
//   - [Project] calls a handler inside a database transaction that stores the
//     cursors too: exactly once.
//   - [Broadcast] hands the changes of one subscription to many readers.
//   - [DecodeChange] turns the events of a change into Go values, by a registry of
//     package events.
//   - [Changes], [Expand], [Filter], [Decode], [Batch] and [Latest] build a [Flow]: a
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
// # Failures
//
// A handler that fails holds up its aggregate only. A [Classifier] gives the
// [Verdict]: Retry, Park, Skip or Stop, see [WithVerdicts]. The records of parked,
// skipped and stopped changes are stored, so that they outlive the process and the next
// one heeds them; package checkpoint lists them and takes requests to release and to
// resume. Timeouts and limits are [Middleware], put around a handler by [Chain].
//
// # Concurrency
//
// [ForEach] and [Project] handle on the goroutine of the call, or with
// [WithWorkers] on goroutines of their own, several aggregates at once and each in
// order; two more goroutines pull changes and store positions. A Flow starts no
// goroutine: a pull runs through all operators on the caller's. A Flow is for one
// goroutine at a time.
package operators
