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
	// the clock here; 0 before the first batch. It is meaningful while batches
	// flow, and supposes timestamps in milliseconds, the node's default.
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
func (r *runner) report(t tally) {
	if r.onProgress == nil {
		return
	}
	r.reporting.Lock()
	defer r.reporting.Unlock()
	stats := r.sub.Stats()
	t.progress.Behind, t.progress.State = stats.Dirty, stats.State
	if t.newest > 0 {
		t.progress.Lag = max(0, time.Since(time.UnixMilli(int64(t.newest))))
	}
	r.onProgress(t.progress)
}
