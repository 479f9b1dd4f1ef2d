package conformance

import (
	"fmt"
	"slices"
	"testing"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

var lifeRules = []rule{
	{name: "trims", check: trims},
	{name: "trims_refused", check: trimsRefused},
	{name: "deletes", check: deletes},
	{name: "deletes_refused", check: deletesRefused},
	{name: "deleted_for_good", check: deletedForGood},
	{name: "continuing_recreation", check: continuingRecreation},
	{name: "fresh_recreation", check: freshRecreation},
}

func (w *world) grown(t *testing.T, batches int) msg.Key {
	t.Helper()
	key := w.key()
	for i := range batches {
		w.write(t, key, fmt.Sprint(i+1))
	}
	return key
}

func trims(t *testing.T, w *world) {
	key := w.grown(t, 5)
	before := w.details(t, key)
	floor := func(want uint64) {
		t.Helper()
		d := w.details(t, key)
		same(t, "floor", d.MinVersion, want)
		same(t, "max version", d.MaxVersion, 5)
		same(t, "last timestamp", d.LastServerTimestamp, before.LastServerTimestamp)
	}
	w.trim(t, key, 0)
	w.trim(t, key, 1)
	floor(1)
	w.trim(t, key, 3)
	floor(3)
	w.trim(t, key, 3)
	w.trim(t, key, 2) // a lower one changes nothing
	floor(3)
	_, err := w.pool.Read(t.Context(), &msg.ReadRequest{Key: key, Filters: msg.ReadFilters{From: 2, To: msg.Some[uint64](2)}})
	f := refused(t, err, msg.CodeVersionUnavailable)
	same(t, "requested", f.Requested, msg.Some[uint64](2))
	same(t, "minimum available", f.MinimumAvailable, msg.Some[uint64](3))
	if got := versions(w.read(t, key, msg.ReadFilters{From: 3}).Batches); !slices.Equal(got, []uint64{3, 4, 5}) {
		t.Errorf("left: %v", got)
	}
	w.trim(t, key, 5)
	floor(5)
	same(t, "next version", w.write(t, key, "6"), 6)
}

func trimsRefused(t *testing.T, w *world) {
	trim := func(key msg.Key, keepFrom uint64) error {
		return w.pool.TrimStart(t.Context(), &msg.TrimStartRequest{Key: key, KeepFrom: keepFrom, ClientID: w.client})
	}
	refused(t, trim(w.key(), 1), msg.CodeTrimNotFound)
	key := w.grown(t, 2)
	f := refused(t, trim(key, 3), msg.CodeTrimBeyondEnd)
	same(t, "requested", f.Requested, msg.Some[uint64](3))
	same(t, "max version", f.MaxVersion, msg.Some[uint64](2))
	w.delete(t, msg.AggregateDelete{Key: key, AllowRecreate: true})
	refused(t, trim(key, 1), msg.CodeTrimNotFound)
}

func deletes(t *testing.T, w *world) {
	a := w.grown(t, 3)
	b := w.sibling(a)
	w.write(t, b, "x")
	w.delete(t,
		msg.AggregateDelete{Key: a, AllowRecreate: true, AllowSequenceContinuation: true, ExpectedVersion: msg.Some[uint64](3)},
		msg.AggregateDelete{Key: b, AllowRecreate: true})
	for _, from := range []uint64{1, 4} {
		_, err := w.pool.Read(t.Context(), &msg.ReadRequest{Key: a, Filters: msg.ReadFilters{From: from}})
		refused(t, err, msg.CodeReadNotFound)
	}
	d := w.details(t, a)
	if !d.Deleted || !d.AllowRecreate || !d.AllowSequenceContinuation || d.MinVersion != 0 || d.MaxVersion != 3 || d.MaxEventSeq != 3 || d.LastClientID != w.client {
		t.Errorf("details %+v", d)
	}
	d = w.details(t, b)
	if !d.Deleted || !d.AllowRecreate || d.AllowSequenceContinuation {
		t.Errorf("details %+v", d)
	}
}

func deletesRefused(t *testing.T, w *world) {
	a := w.grown(t, 2)
	b := w.sibling(a)
	refused(t, w.remove(t, msg.AggregateDelete{Key: b}), msg.CodeDeleteNotFound)
	refused(t, w.remove(t, msg.AggregateDelete{Key: b, ExpectedVersion: msg.Some[uint64](3)}), msg.CodeDeleteNotFound)
	f := refused(t, w.remove(t, msg.AggregateDelete{Key: a, ExpectedVersion: msg.Some[uint64](1)}), msg.CodeDeleteConflict)
	same(t, "expected version", f.ExpectedVersion, msg.Some[uint64](1))
	same(t, "current version", f.CurrentVersion, msg.Some[uint64](2))
	refused(t, w.remove(t, msg.AggregateDelete{Key: a}, msg.AggregateDelete{Key: b}), msg.CodeDeleteNotFound)
	same(t, "batches left", len(w.all(t, a)), 2)
	_, err := w.pool.Write(t.Context(), &msg.WriteRequest{ClientID: w.client})
	refused(t, err, msg.CodeRouting)
	refused(t, w.remove(t), msg.CodeRouting)
	w.delete(t, msg.AggregateDelete{Key: a})
	refused(t, w.remove(t, msg.AggregateDelete{Key: a}), msg.CodeDeleteNotFound)
}

func deletedForGood(t *testing.T, w *world) {
	key := w.grown(t, 2)
	w.delete(t, msg.AggregateDelete{Key: key, AllowSequenceContinuation: true})
	for _, o := range []pool.WriteOptions{{}, {DenyCreate: true}, {ExpectedVersion: msg.Some[uint64](2)}, {ExpectedVersion: msg.Some[uint64](0)}} {
		_, err := w.pool.WriteEvents(t.Context(), key, []msg.Event{event(9, "x")}, w.client, o)
		refused(t, err, msg.CodeRecreateNotAllowed)
	}
	same(t, "deleted", w.details(t, key).Deleted, true)
}

func continuingRecreation(t *testing.T, w *world) {
	key := w.grown(t, 3)
	w.delete(t, msg.AggregateDelete{Key: key, AllowRecreate: true, AllowSequenceContinuation: true})
	_, err := w.pool.WriteEvents(t.Context(), key, []msg.Event{event(4, "x")}, w.client, pool.WriteOptions{ExpectedVersion: msg.Some[uint64](0)})
	same(t, "current version", refused(t, err, msg.CodeVersionConflict).CurrentVersion, msg.Some[uint64](3))
	version, err := w.pool.WriteEvents(t.Context(), key, []msg.Event{event(4, "4")}, w.client,
		pool.WriteOptions{ExpectedVersion: msg.Some[uint64](3), DenyCreate: true}) // it is known, so nothing is created
	done(t, err)
	same(t, "version", version, 4)
	same(t, "next version", w.write(t, key, "5"), 5)
	if got := values(w.all(t, key)); !slices.Equal(got, []string{"1", "2", "3", "4", "5"}) {
		t.Errorf("readable: %q", got)
	}
	batches := w.read(t, key, msg.ReadFilters{From: 4}).Batches
	same(t, "event seq", batches[0].LastEventSeq(), 4)
	d := w.details(t, key)
	if d.Deleted || d.MinVersion != 1 || d.MaxVersion != 5 || d.MaxEventSeq != 5 {
		t.Errorf("details %+v", d)
	}
}

// The second version of a fresh life is whatever the server says; that it
// exceeds the first, and that a guard of the old version lets the life begin,
// can be relied on.
func freshRecreation(t *testing.T, w *world) {
	key := w.grown(t, 3)
	w.trim(t, key, 2)
	w.delete(t, msg.AggregateDelete{Key: key, AllowRecreate: true})
	_, err := w.pool.WriteEvents(t.Context(), key, []msg.Event{event(4, "x")}, w.client, pool.WriteOptions{ExpectedVersion: msg.Some[uint64](0)})
	same(t, "current version", refused(t, err, msg.CodeVersionConflict).CurrentVersion, msg.Some[uint64](3))
	version, err := w.pool.WriteEvents(t.Context(), key, []msg.Event{event(4, "one")}, w.client, pool.WriteOptions{ExpectedVersion: msg.Some[uint64](3)})
	done(t, err)
	same(t, "first version", version, 1)
	second := w.write(t, key, "two")
	third := w.write(t, key, "three")
	if second <= 1 || third != second+1 {
		t.Errorf("versions 1, %d, %d", second, third)
	}
	batches := w.all(t, key)
	if got := versions(batches); !slices.Equal(got, []uint64{1, second, third}) {
		t.Errorf("versions %v", got)
	}
	if got := values(batches); !slices.Equal(got, []string{"one", "two", "three"}) {
		t.Errorf("readable: %q", got)
	}
	same(t, "first event seq", batches[0].Events[0].EventSeq, 1)
	if got := versions(w.read(t, key, msg.ReadFilters{From: 2}).Batches); !slices.Equal(got, []uint64{second, third}) {
		t.Errorf("from 2: %v", got)
	}
	d := w.details(t, key)
	if d.Deleted || d.MinVersion != 1 || d.MaxVersion != third {
		t.Errorf("details %+v", d)
	}
}
