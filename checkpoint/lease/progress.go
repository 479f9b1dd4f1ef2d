package lease

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
)

// Member is one member of a subscription, as its heartbeat told last.
type Member struct {
	Process, ID, Label string
	// Joined and Expires are the store's times; after Expires the others take over.
	Joined, Expires time.Time
	Holds, Asks     Set
	Summary         Summary
}

// Progress is the state of a subscription over all its members.
type Progress struct {
	Definition Definition
	// Now is the store's time.
	Now     time.Time
	Members []Member
	// Unowned are the partitions that no living member holds, Stopped those that
	// nobody may take.
	Unowned, Stopped Set
	// Unhandled, Oldest and Parked sum up what the members told.
	Unhandled uint64
	Oldest    time.Time
	Parked    int
}

// ReadProgress reads the progress of a subscription from the heartbeats of its
// members: as of a third of a TTL ago, at worst. ReadProgress asks no member
// and needs no ownership. For a subscription that is not divided Definition is
// zero.
func ReadProgress(ctx context.Context, store checkpoint.RecordStore, name string) (Progress, error) {
	records, _, err := store.Records(ctx, name, "")
	if err != nil {
		return Progress{}, err
	}
	beats, now, err := store.Records(ctx, "", memberPrefix)
	if err != nil {
		return Progress{}, err
	}
	out := Progress{Now: now}
	held := make(map[uint32]bool)
	alive := make(map[string]bool)
	for _, r := range beats {
		process, h, err := parseHeartbeat(r)
		if err != nil || h.Expires < now.UnixMilli() {
			continue
		}
		for _, e := range h.Members {
			if e.Name == name {
				out.add(process, h, e, held)
				alive[process+"/"+e.ID] = true
			}
		}
	}
	for _, r := range records {
		if r.Key == definitionKey {
			if out.Definition, err = ParseDefinition(name, r.Value); err != nil {
				return Progress{}, err
			}
		}
		// A claim since the last heartbeat: only the partition's own record tells of it.
		if q, is := partitionOf(r.Key); is {
			if p, err := ParsePartition(r); err == nil && alive[p.Process+"/"+p.Member] {
				held[q] = true
			}
		}
	}
	control, _ := checkpoint.ParseControl(records)
	for _, s := range control.Stopped {
		out.Stopped = append(out.Stopped, s.Partition)
	}
	out.Stopped = NewSet(out.Stopped...)
	if out.Definition.Generation != 0 {
		for q := range out.Definition.Count() {
			if !held[q] && !out.Stopped.Has(q) {
				out.Unowned = append(out.Unowned, q)
			}
		}
	}
	slices.SortFunc(out.Members, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

func (p *Progress) add(process string, h heartbeat, e memberEntry, held map[uint32]bool) {
	p.Members = append(p.Members, Member{Process: process, ID: e.ID, Label: e.Label, Joined: time.UnixMilli(e.Joined),
		Expires: time.UnixMilli(h.Expires), Holds: e.Holds, Asks: e.Asks, Summary: e.Summary})
	for _, q := range e.Holds {
		held[q] = true
	}
	p.Unhandled += e.Summary.Unhandled
	p.Parked += e.Summary.Parked
	if oldest := time.UnixMilli(int64(e.Summary.Oldest)); e.Summary.Oldest > 0 && (p.Oldest.IsZero() || oldest.Before(p.Oldest)) {
		p.Oldest = oldest
	}
}
