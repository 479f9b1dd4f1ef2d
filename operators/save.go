package operators

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators/internal/schedule"
	"github.com/celeriant/celeriant-go/stream"
)

// saveGroup is what is stored under one claim.
type saveGroup struct {
	owner     checkpoint.Owner
	partition uint32
	entries   []checkpoint.Entry
	records   []recordChange
}

// grouped makes the last cursor of each aggregate an entry, and separates claims:
// each may save only what was delivered under it.
func grouped(handled []schedule.Handled, records []recordChange) []*saveGroup {
	var groups []*saveGroup
	find := func(owner checkpoint.Owner, partition uint32) *saveGroup {
		for _, g := range groups {
			if g.owner == owner {
				return g
			}
		}
		g := &saveGroup{owner: owner, partition: partition}
		groups = append(groups, g)
		return g
	}
	at := make(map[msg.Key]int, len(handled))
	for i := range handled {
		h := &handled[i]
		g := find(h.Owner, h.Partition)
		if n, ok := at[h.Key]; ok && n < len(g.entries) && g.entries[n].Key == h.Key {
			g.entries[n].Cursor = h.Cursor
			continue
		}
		at[h.Key] = len(g.entries)
		g.entries = append(g.entries, checkpoint.Entry{Key: h.Key, Cursor: h.Cursor})
	}
	for _, c := range records {
		g := find(c.owner, c.partition)
		g.records = append(g.records, c)
	}
	return groups
}

// maxRecordChanges bounds the changes of records in one save.
const maxRecordChanges = 300

// saveGroup stores what is to be stored under one claim. A partition whose claim
// is over ends; a subscription whose claim is over ends the runner.
func (r *runner) saveGroup(ctx context.Context, g *saveGroup) error {
	err := r.storeGroup(ctx, g)
	if err != nil && leased(g.owner) && errors.Is(err, checkpoint.ErrFenced) {
		r.tellFenced(err)
		r.mu.Lock()
		r.loseLocked(g.owner, g.partition, err)
		r.mu.Unlock()
		return nil
	}
	return err
}

func (r *runner) storeGroup(ctx context.Context, g *saveGroup) error {
	if len(g.records) == 0 && !leased(g.owner) {
		return r.commit(ctx, g.entries)
	}
	for entries := g.entries; ; entries = nil {
		n := part(g.records)
		if err := r.storePart(ctx, g, entries, g.records[:n]); err != nil {
			return err
		}
		if g.records = g.records[n:]; len(g.records) == 0 {
			return nil
		}
	}
}

// part returns how many of the records go into one mutation: a parking goes alone,
// so that one that is refused refuses no other.
func part(records []recordChange) int {
	for i := range records {
		if i == maxRecordChanges {
			return i
		}
		if records[i].park != nil {
			return max(i, 1)
		}
	}
	return len(records)
}

// commit stores cursors only. Cursors of aggregates that are stored further on already
// are passed over.
func (r *runner) commit(ctx context.Context, entries []checkpoint.Entry) error {
	err := r.sub.Commit(ctx, entries)
	if _, behind := errors.AsType[*checkpoint.RegressionError](err); behind {
		r.logger.Warn("cursors lie behind what is stored", "subscription", r.sub.Name(), "cause", err)
		return nil
	}
	return err
}

// storePart applies one mutation, again and again while the store fails.
func (r *runner) storePart(ctx context.Context, g *saveGroup, entries []checkpoint.Entry, records []recordChange) error {
	store, ok := r.recordStore()
	if !ok {
		return r.commit(ctx, entries)
	}
	pace, failed := newPace(), false
	for {
		err := r.applyOnce(ctx, store, g.owner, entries, records)
		var refused *checkpoint.RegressionError
		switch {
		case err == nil:
			if failed {
				r.sub.ReportRecovered(stream.WhatStore)
			}
			r.sub.Committed(entries)
			r.mu.Lock()
			for _, c := range records {
				if c.stored != nil {
					c.stored()
				}
			}
			r.mu.Unlock()
			return nil
		case errors.As(err, &refused):
			// A cursor further on is stored already.
			if kept := withoutKey(entries, refused.Key); len(kept) < len(entries) {
				entries = kept
				continue
			}
			return err
		case r.refusedParking(err, &records):
			continue
		case errors.Is(err, checkpoint.ErrFenced), errors.Is(err, checkpoint.ErrClosed), errors.Is(err, checkpoint.ErrFailed):
			return r.storing(entries, records, err)
		}
		if _, changed := errors.AsType[*checkpoint.RevisionError](err); changed {
			// The records that the decision rests on are read again.
			if err = r.settleParkings(ctx, store, &records); err == nil {
				continue
			}
		}
		failed = true
		wait := pace.NextBackOff()
		r.sub.ReportRetry(stream.WhatStore, err, time.Now().Add(wait))
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w (%w)", r.storing(entries, records, err), context.Cause(ctx))
		}
	}
}

func (r *runner) storing(entries []checkpoint.Entry, records []recordChange, err error) error {
	return fmt.Errorf("operators: storing %d cursors and %d records of %q: %w", len(entries), len(records), r.sub.Name(), err)
}

func withoutKey(entries []checkpoint.Entry, key msg.Key) []checkpoint.Entry {
	var kept []checkpoint.Entry
	for _, e := range entries {
		if e.Key != key {
			kept = append(kept, e)
		}
	}
	return kept
}

// applyOnce applies one mutation once.
func (r *runner) applyOnce(ctx context.Context, store checkpoint.RecordStore, owner checkpoint.Owner, entries []checkpoint.Entry, records []recordChange) error {
	m := checkpoint.Mutation{Owners: []checkpoint.Owner{owner}, Entries: entries}
	for _, c := range records {
		if err := c.add(ctx, &m); err != nil {
			return err
		}
	}
	m.Records = lastOfEach(m.Records)
	return store.Apply(ctx, r.sub.Name(), m)
}

// lastOfEach keeps of several changes of one record the last one.
func lastOfEach(changes []checkpoint.RecordChange) []checkpoint.RecordChange {
	at := make(map[string]int, len(changes))
	kept := changes[:0]
	for _, c := range changes {
		if i, again := at[c.Key]; again {
			kept[i] = c
			continue
		}
		at[c.Key] = len(kept)
		kept = append(kept, c)
	}
	return kept
}

// settleParkings finds out about parkings that a save was refused for because their
// aggregates are parked already. Where it is the same parking, an earlier attempt has
// stored it although its answer was lost; any other, which was to end when its change
// was passed over, is replaced.
func (r *runner) settleParkings(ctx context.Context, store checkpoint.RecordStore, records *[]recordChange) error {
	var kept []recordChange
	for _, c := range *records {
		if c.park == nil {
			kept = append(kept, c)
			continue
		}
		now, err := checkpoint.LoadParked(ctx, store, r.sub.Name(), c.park.Key)
		switch {
		case errors.Is(err, checkpoint.ErrNotParked):
			c.park.Revision = 0
		case err != nil:
			return err
		case now.Life == c.park.Life && now.Version == c.park.Version:
			r.mu.Lock()
			c.stored()
			r.mu.Unlock()
			continue
		default:
			c.park.Revision = now.Revision
		}
		kept = append(kept, c)
	}
	*records = kept
	return nil
}

// refusedParking takes the parkings out of a save that was refused because too much
// is parked: their aggregates wait for another attempt instead.
func (r *runner) refusedParking(err error, records *[]recordChange) bool {
	_, full := errors.AsType[*checkpoint.LimitError](err)
	if !full {
		return false
	}
	var kept []recordChange
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range *records {
		if c.park == nil {
			kept = append(kept, c)
			continue
		}
		due := time.Now().Add(longestRetry)
		r.schedule.ParkingRefused(c.park.Key, due)
		r.lastFailure = fmt.Errorf("operators: %v is not parked: %w", c.park.Key, err)
		failure := r.lastFailure
		r.later(func() { r.sub.ReportRetry(stream.WhatHandler, failure, due) })
	}
	refused := len(kept) < len(*records)
	*records = kept
	return refused
}
