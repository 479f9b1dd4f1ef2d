package stream

import (
	"context"
	"fmt"
	"slices"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// seedSize is how many cursors are looked up and stored at once.
const seedSize = 512

// checkCursors refuses given cursors that no subscription of the scope could go on
// from.
func (o Options) checkCursors(scope Scope) error {
	if len(o.Cursors) == 0 {
		return nil
	}
	switch {
	case o.Ownership == Leased:
		return fmt.Errorf("stream: option Cursors has %d aggregates with Leased: want none, partitions go on from the store", len(o.Cursors))
	case o.Start == LiveOnly:
		return fmt.Errorf("stream: option Cursors has %d aggregates with LiveOnly, which reads nothing at the start: want FromBeginning or FromNow", len(o.Cursors))
	}
	follows := o.contains(scope)
	for key, cursor := range o.Cursors {
		switch {
		case !cursor.Storable():
			return fmt.Errorf("stream: option Cursors: %w", &checkpoint.CursorError{Key: key, Cursor: cursor})
		case !follows(key):
			return fmt.Errorf("stream: option Cursors names %v, which the scope %v does not follow", key, scope)
		}
	}
	return nil
}

// seed stores the given cursors of aggregates that have none, so that saves that
// compare find what the first changes follow.
func (s *Subscription) seed(ctx context.Context) error {
	keys := make([]msg.Key, 0, len(s.opts.Cursors))
	for key, cursor := range s.opts.Cursors {
		if !cursor.IsZero() {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, msg.Key.Compare)
	for part := range slices.Chunk(keys, seedSize) {
		stored, err := s.opts.Store.Load(ctx, s.opts.Name, part)
		if err == nil && len(stored) != len(part) {
			err = errShortAnswer
		}
		if err != nil {
			return fmt.Errorf("stream: looking up where %q stands: %w", s.opts.Name, err)
		}
		var entries []checkpoint.Entry
		for i, key := range part {
			if stored[i].IsZero() {
				entries = append(entries, checkpoint.Entry{Key: key, Cursor: s.opts.Cursors[key]})
			}
		}
		if len(entries) == 0 {
			continue
		}
		if err := s.opts.Store.Save(ctx, s.owner, entries); err != nil {
			return fmt.Errorf("stream: storing the given cursors of %q: %w", s.opts.Name, err)
		}
	}
	return nil
}
