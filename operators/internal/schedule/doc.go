// Package schedule decides which of the changes that a consumer has pulled may
// be handled next. The package is pure: it neither waits nor looks at a clock,
// starts no goroutine and calls nobody. The operators call it under one lock.
//
// The rules:
//
//   - One change of an aggregate is handled at a time, in order (a transaction
//     may carry several of one aggregate, in order).
//   - An aggregate whose turn has ended goes behind all others that wait, and
//     partitions take turns: none starves another.
//   - An aggregate on hold has no change here. The consumer is told to stop
//     delivering it, and to read it again from its stored cursor later, so that a
//     wait costs its key, its failure and a time, never its payload.
//   - CaughtUp is handed out once everything that was pulled before it has been
//     handled, or is parked or paused. Changes pulled later do not wait for it.
package schedule
