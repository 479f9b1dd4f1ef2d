package operators

import (
	"time"

	"github.com/celeriant/celeriant-go/stream"
)

// Progress is how far a consumer has come. Counts are those of this call of
// ForEach or Project and cover what was committed.
type Progress struct {
	// Changes counts changes of every kind, Batches those that are batches,
	// Events the events in them.
	Changes, Batches, Events uint64
	// Commits counts saves or transactions, Retries those run again.
	Commits, Retries uint64
	// CaughtUp tells that a CaughtUp was handled.
	CaughtUp bool
	// Failing is the number of aggregates of which a change has failed and is tried
	// again, Parked of those that are parked.
	Failing, Parked int
	// Behind is the number of aggregates known to have something to deliver.
	Behind int
	// Lag is the age of the newest batch handled, by the node's timestamp and
	// the clock here; 0 before the first batch. The lag is meaningful while
	// batches flow, and supposes timestamps in milliseconds, the node's
	// default.
	Lag time.Duration
	// State is the subscription's.
	State stream.State
}

// tally counts what was handled.
type tally struct {
	progress Progress
	newest   uint64
	// untold: a CaughtUp was handled since the observer was told.
	untold bool
}

func (t *tally) add(c *stream.Change) {
	t.progress.Changes++
	switch c.Kind {
	case stream.Batch:
		t.progress.Batches++
		t.progress.Events += uint64(len(c.Batch.Events))
		t.newest = max(t.newest, c.Batch.ServerTimestamp)
	case stream.CaughtUp:
		t.progress.CaughtUp = true
		t.untold = true
	}
}

// report tells the observer, if there is one, how far the consumer has come. t is
// what was committed.
//
// Reports come one at a time and in order. Nobody waits for the observer: a report that
// comes while it is at work takes the place of an earlier one that it has not heard, and
// is told by whoever tells it at present. So the observer may close the subscription.
func (r *runner) report(t tally) {
	if r.onProgress == nil {
		return
	}
	r.mu.Lock()
	if t.progress.Changes < r.reported {
		r.mu.Unlock()
		return // a later save was faster
	}
	r.unreported, r.reported = &t, t.progress.Changes
	telling := r.reporting
	r.reporting = true
	r.mu.Unlock()
	if telling {
		return
	}
	defer r.handling.Join()()
	returned := false
	defer func() {
		if !returned { // it panicked, or ended the goroutine
			r.mu.Lock()
			r.reporting = false
			r.mu.Unlock()
		}
	}()
	for {
		r.mu.Lock()
		next := r.unreported
		r.unreported = nil
		if next == nil {
			r.reporting = false
			returned = true
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
		r.tellProgress(*next)
	}
}

func (r *runner) tellProgress(t tally) {
	stats := r.sub.Stats()
	t.progress.Behind, t.progress.State = stats.Dirty, stats.State
	if t.newest > 0 {
		t.progress.Lag = max(0, time.Since(time.UnixMilli(int64(t.newest))))
	}
	r.onProgress(t.progress)
}
