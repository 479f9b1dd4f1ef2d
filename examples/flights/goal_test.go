package main

import (
	"context"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

func TestGoal(t *testing.T) {
	a, b := keyOf("A"), keyOf("B")
	batchAt := func(c stream.Change, version uint64) stream.Change {
		c.Kind, c.Batch.Version = stream.Batch, version
		return c
	}
	onA, onB := stream.Change{Key: a}, stream.Change{Key: b}
	caughtUp := stream.Change{Kind: stream.CaughtUp}
	type step struct {
		wrote   *batch
		version uint64
		all     bool
		applied []stream.Change
	}
	for name, c := range map[string]struct {
		stored []checkpoint.Entry
		steps  []step // done after the last one, and not before
	}{
		"nothing to do":             {nil, []step{{all: true}, {applied: []stream.Change{caughtUp}}}},
		"written before applied":    {nil, []step{{wrote: &batch{key: a}, version: 2}, {all: true}, {applied: []stream.Change{caughtUp}}, {applied: []stream.Change{batchAt(onA, 1)}}, {applied: []stream.Change{batchAt(onA, 2)}}}},
		"applied before written":    {nil, []step{{applied: []stream.Change{caughtUp, batchAt(onA, 1)}}, {wrote: &batch{key: a}, version: 1}, {all: true}}},
		"caught up last":            {nil, []step{{wrote: &batch{key: a}, version: 1}, {applied: []stream.Change{batchAt(onA, 1)}}, {all: true}, {applied: []stream.Change{caughtUp}}}},
		"applied by earlier run":    {[]checkpoint.Entry{{Key: a, Cursor: checkpoint.Cursor{Version: 3}}}, []step{{wrote: &batch{key: a}, version: 3}, {all: true}, {applied: []stream.Change{caughtUp}}}},
		"applied too little":        {[]checkpoint.Entry{{Key: a, Cursor: checkpoint.Cursor{Version: 3}}}, []step{{wrote: &batch{key: a}, version: 4}, {all: true}, {applied: []stream.Change{caughtUp}}, {applied: []stream.Change{batchAt(onA, 4)}}}},
		"of two one is missing":     {nil, []step{{wrote: &batch{key: a}, version: 1}, {wrote: &batch{key: b}, version: 1}, {all: true}, {applied: []stream.Change{caughtUp, batchAt(onA, 1)}}, {applied: []stream.Change{batchAt(onB, 1)}}}},
		"deleted by somebody":       {nil, []step{{wrote: &batch{key: a}, version: 5}, {all: true}, {applied: []stream.Change{caughtUp}}, {applied: []stream.Change{{Kind: stream.Deleted, Key: a}}}}},
		"deleted in an earlier run": {[]checkpoint.Entry{{Key: a, Cursor: checkpoint.Cursor{Version: 1, Deleted: true}}}, []step{{wrote: &batch{key: a}, version: 5}, {all: true}, {applied: []stream.Change{caughtUp}}}},
		"reset and built again":     {nil, []step{{applied: []stream.Change{caughtUp, batchAt(onA, 9), {Kind: stream.Reset, Key: a}}}, {wrote: &batch{key: a}, version: 2}, {all: true}, {applied: []stream.Change{batchAt(onA, 2)}}}},
	} {
		store := checkpoint.NewMemory()
		owner, err := store.Acquire(context.Background(), checkpoint.Claim{Name: subscription})
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Save(context.Background(), owner, c.stored); err != nil {
			t.Fatal(err)
		}
		g := newGoal(store)
		for i, s := range c.steps {
			select {
			case <-g.done:
				t.Errorf("%s: done before step %d", name, i)
			default:
			}
			switch {
			case s.wrote != nil:
				g.wrote(s.wrote, s.version)
			case s.all:
				g.everythingWritten()
			default:
				if err := g.applied(context.Background(), s.applied, operators.Progress{}); err != nil {
					t.Fatal(err)
				}
			}
		}
		select {
		case <-g.done:
		default:
			t.Errorf("%s: not done", name)
		}
	}
}
