package requests

import (
	"slices"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/world"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

var lifeRules = []world.Rule{
	{Name: "trims", Check: trims},
	{Name: "trims_refused", Check: trimsRefused},
	{Name: "deletes", Check: deletes},
	{Name: "deletes_refused", Check: deletesRefused},
	{Name: "deleted_for_good", Check: deletedForGood},
	{Name: "continuing_recreation", Check: continuingRecreation},
	{Name: "fresh_recreation", Check: freshRecreation},
}

func trims(t *testing.T, w *world.World) {
	key := w.Grown(t, 5)
	before := w.Details(t, key)
	floor := func(want uint64) {
		t.Helper()
		d := w.Details(t, key)
		world.Same(t, "floor", d.MinVersion, want)
		world.Same(t, "max version", d.MaxVersion, 5)
		world.Same(t, "last timestamp", d.LastServerTimestamp, before.LastServerTimestamp)
	}
	w.Trim(t, key, 0)
	w.Trim(t, key, 1)
	floor(1)
	w.Trim(t, key, 3)
	floor(3)
	w.Trim(t, key, 3)
	w.Trim(t, key, 2) // a lower one changes nothing
	floor(3)
	_, err := w.Pool.Read(t.Context(), &msg.ReadRequest{Key: key, Filters: msg.ReadFilters{From: 2, To: msg.Some[uint64](2)}})
	f := world.Refused(t, err, msg.CodeVersionUnavailable)
	world.Same(t, "requested", f.Requested, msg.Some[uint64](2))
	world.Same(t, "minimum available", f.MinimumAvailable, msg.Some[uint64](3))
	if got := world.Versions(w.Read(t, key, msg.ReadFilters{From: 3}).Batches); !slices.Equal(got, []uint64{3, 4, 5}) {
		t.Errorf("left: %v", got)
	}
	w.Trim(t, key, 5)
	floor(5)
	world.Same(t, "next version", w.Write(t, key, "6"), 6)
}

func trimsRefused(t *testing.T, w *world.World) {
	trim := func(key msg.Key, keepFrom uint64) error {
		return w.Pool.TrimStart(t.Context(), &msg.TrimStartRequest{Key: key, KeepFrom: keepFrom, ClientID: w.Client})
	}
	world.Refused(t, trim(w.Key(), 1), msg.CodeTrimNotFound)
	key := w.Grown(t, 2)
	f := world.Refused(t, trim(key, 3), msg.CodeTrimBeyondEnd)
	world.Same(t, "requested", f.Requested, msg.Some[uint64](3))
	world.Same(t, "max version", f.MaxVersion, msg.Some[uint64](2))
	w.Delete(t, msg.AggregateDelete{Key: key, AllowRecreate: true})
	world.Refused(t, trim(key, 1), msg.CodeTrimNotFound)
}

func deletes(t *testing.T, w *world.World) {
	a := w.Grown(t, 3)
	b := w.Sibling(a)
	w.Write(t, b, "x")
	w.Delete(t,
		msg.AggregateDelete{Key: a, AllowRecreate: true, AllowSequenceContinuation: true, ExpectedVersion: msg.Some[uint64](3)},
		msg.AggregateDelete{Key: b, AllowRecreate: true})
	for _, from := range []uint64{1, 4} {
		_, err := w.Pool.Read(t.Context(), &msg.ReadRequest{Key: a, Filters: msg.ReadFilters{From: from}})
		world.Refused(t, err, msg.CodeReadNotFound)
	}
	d := w.Details(t, a)
	if !d.Deleted || !d.AllowRecreate || !d.AllowSequenceContinuation || d.MinVersion != 0 || d.MaxVersion != 3 || d.MaxEventSeq != 3 || d.LastClientID != w.Client {
		t.Errorf("details %+v", d)
	}
	d = w.Details(t, b)
	if !d.Deleted || !d.AllowRecreate || d.AllowSequenceContinuation {
		t.Errorf("details %+v", d)
	}
}

func deletesRefused(t *testing.T, w *world.World) {
	a := w.Grown(t, 2)
	b := w.Sibling(a)
	world.Refused(t, w.Remove(t, msg.AggregateDelete{Key: b}), msg.CodeDeleteNotFound)
	world.Refused(t, w.Remove(t, msg.AggregateDelete{Key: b, ExpectedVersion: msg.Some[uint64](3)}), msg.CodeDeleteNotFound)
	f := world.Refused(t, w.Remove(t, msg.AggregateDelete{Key: a, ExpectedVersion: msg.Some[uint64](1)}), msg.CodeDeleteConflict)
	world.Same(t, "expected version", f.ExpectedVersion, msg.Some[uint64](1))
	world.Same(t, "current version", f.CurrentVersion, msg.Some[uint64](2))
	world.Refused(t, w.Remove(t, msg.AggregateDelete{Key: a}, msg.AggregateDelete{Key: b}), msg.CodeDeleteNotFound)
	world.Same(t, "batches left", len(w.All(t, a)), 2)
	_, err := w.Pool.Write(t.Context(), &msg.WriteRequest{ClientID: w.Client})
	world.Refused(t, err, msg.CodeRouting)
	world.Refused(t, w.Remove(t), msg.CodeRouting)
	w.Delete(t, msg.AggregateDelete{Key: a})
	world.Refused(t, w.Remove(t, msg.AggregateDelete{Key: a}), msg.CodeDeleteNotFound)
}

func deletedForGood(t *testing.T, w *world.World) {
	key := w.Grown(t, 2)
	w.Delete(t, msg.AggregateDelete{Key: key, AllowSequenceContinuation: true})
	for _, o := range []pool.WriteOptions{{}, {DenyCreate: true}, {ExpectedVersion: msg.Some[uint64](2)}, {ExpectedVersion: msg.Some[uint64](0)}} {
		_, err := w.Pool.WriteEvents(t.Context(), key, []msg.Event{world.Event(9, "x")}, w.Client, o)
		world.Refused(t, err, msg.CodeRecreateNotAllowed)
	}
	world.Same(t, "deleted", w.Details(t, key).Deleted, true)
}

func continuingRecreation(t *testing.T, w *world.World) {
	key := w.Grown(t, 3)
	w.Delete(t, msg.AggregateDelete{Key: key, AllowRecreate: true, AllowSequenceContinuation: true})
	_, err := w.Pool.WriteEvents(t.Context(), key, []msg.Event{world.Event(4, "x")}, w.Client, pool.WriteOptions{ExpectedVersion: msg.Some[uint64](0)})
	world.Same(t, "current version", world.Refused(t, err, msg.CodeVersionConflict).CurrentVersion, msg.Some[uint64](3))
	version, err := w.Pool.WriteEvents(t.Context(), key, []msg.Event{world.Event(4, "4")}, w.Client,
		pool.WriteOptions{ExpectedVersion: msg.Some[uint64](3), DenyCreate: true}) // it is known, so nothing is created
	world.Must(t, err)
	world.Same(t, "version", version, 4)
	world.Same(t, "next version", w.Write(t, key, "5"), 5)
	if got := world.Values(w.All(t, key)); !slices.Equal(got, []string{"1", "2", "3", "4", "5"}) {
		t.Errorf("readable: %q", got)
	}
	batches := w.Read(t, key, msg.ReadFilters{From: 4}).Batches
	world.Same(t, "event seq", batches[0].LastEventSeq(), 4)
	d := w.Details(t, key)
	if d.Deleted || d.MinVersion != 1 || d.MaxVersion != 5 || d.MaxEventSeq != 5 {
		t.Errorf("details %+v", d)
	}
}

// The second version of a fresh life is whatever the server says; that it
// exceeds the first, and that a guard of the old version lets the life begin,
// can be relied on.
func freshRecreation(t *testing.T, w *world.World) {
	key := w.Grown(t, 3)
	w.Trim(t, key, 2)
	w.Delete(t, msg.AggregateDelete{Key: key, AllowRecreate: true})
	_, err := w.Pool.WriteEvents(t.Context(), key, []msg.Event{world.Event(4, "x")}, w.Client, pool.WriteOptions{ExpectedVersion: msg.Some[uint64](0)})
	world.Same(t, "current version", world.Refused(t, err, msg.CodeVersionConflict).CurrentVersion, msg.Some[uint64](3))
	version, err := w.Pool.WriteEvents(t.Context(), key, []msg.Event{world.Event(4, "one")}, w.Client, pool.WriteOptions{ExpectedVersion: msg.Some[uint64](3)})
	world.Must(t, err)
	world.Same(t, "first version", version, 1)
	second := w.Write(t, key, "two")
	third := w.Write(t, key, "three")
	if second <= 1 || third != second+1 {
		t.Errorf("versions 1, %d, %d", second, third)
	}
	batches := w.All(t, key)
	if got := world.Versions(batches); !slices.Equal(got, []uint64{1, second, third}) {
		t.Errorf("versions %v", got)
	}
	if got := world.Values(batches); !slices.Equal(got, []string{"one", "two", "three"}) {
		t.Errorf("readable: %q", got)
	}
	world.Same(t, "first event seq", batches[0].Events[0].EventSeq, 1)
	if got := world.Versions(w.Read(t, key, msg.ReadFilters{From: 2}).Batches); !slices.Equal(got, []uint64{second, third}) {
		t.Errorf("from 2: %v", got)
	}
	d := w.Details(t, key)
	if d.Deleted || d.MinVersion != 1 || d.MaxVersion != third {
		t.Errorf("details %+v", d)
	}
}
