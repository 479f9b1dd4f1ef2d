// Package watch decides what one subscriber of a shard hears and when
// (server semantics 7): which notifications match its filter, how many may
// wait, which are merged into one frame, and when a heartbeat is due.
//
// The decisions are plain functions of the instants passed in; only [Queue],
// which stands between the shard and the subscriber's goroutine, locks.
package watch
