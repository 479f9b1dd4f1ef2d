package logstore

import (
	"context"
	"fmt"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/journal"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// Options are the choices of a store. The zero value is a good one.
type Options struct {
	// Org is the organisation of the journals; zero means [checkpoint.JournalType].
	// Stores with different ones do not see each other.
	Org msg.ID
	// MaxRecord is the longest record, in bytes: 128 KiB to 8 MiB; 0 means 4 MiB,
	// which is a save of 39,000 cursors. The pool's MaxRequestSize, and that of the
	// nodes, must be larger.
	MaxRecord int
	// Journal are the choices of the journals.
	Journal journal.Options
}

const (
	defaultRecord  = 4 << 20
	smallestRecord = 128 << 10
	largestRecord  = 8 << 20
)

// Store is a checkpoint.RecordStore in a cluster of Celeriant nodes. See
// [journal.Store] for what it holds in memory and how it behaves.
type Store struct {
	*journal.Store
}

var (
	_ checkpoint.RecordStore = (*Store)(nil)
	_ checkpoint.Notifier    = (*Store)(nil)
	_ checkpoint.Exchanger   = (*Store)(nil)
)

// Open returns a store that uses client, which the caller closes after it. Open
// asks the leader once, so that a cluster without one is noticed here.
func Open(ctx context.Context, client *pool.Pool, options Options) (*Store, error) {
	switch {
	case options.MaxRecord == 0:
		options.MaxRecord = defaultRecord
	case options.MaxRecord < smallestRecord || options.MaxRecord > largestRecord:
		return nil, fmt.Errorf("logstore: a longest record of %d bytes, want %d to %d", options.MaxRecord, smallestRecord, largestRecord)
	}
	if options.Org == (msg.ID{}) {
		options.Org = checkpoint.JournalType()
	}
	s := &Store{journal.New(&log{
		client: client,
		leader: client.AtLeader(),
		org:    options.Org,
		writer: msg.NewID(),
		max:    options.MaxRecord,
		names:  make(map[msg.ID]string),
	}, options.Journal)}
	if _, _, err := s.Records(ctx, "", ""); err != nil {
		return nil, fmt.Errorf("logstore: opening: %w", err)
	}
	return s, nil
}
