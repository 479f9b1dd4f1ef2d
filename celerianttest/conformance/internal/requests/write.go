package requests

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/world"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

var writeRules = []world.Rule{
	{Name: "append_and_read", Check: appendAndRead},
	{Name: "event_fields_verbatim", Check: eventFields},
	{Name: "conditional_writes", Check: conditionalWrites},
	{Name: "shape_of_writes", Check: writeShape},
	{Name: "idempotency", Check: idempotency},
	{Name: "idempotency_survives_trim_and_delete", Check: idempotencySurvives},
	{Name: "several_aggregates_at_once", Check: severalAggregates},
	{Name: "several_aggregates_all_or_none", Check: allOrNone},
	{Name: "several_shards_refused", Check: acrossShards, Needs: world.SeveralShards},
	{Name: "large_payload", Check: largePayload, Needs: func(w *world.World) bool { return w.Server.MaxResponseSize == 0 }},
}

func appendAndRead(t *testing.T, w *world.World) {
	key := w.Key()
	user := msg.Some(world.RandomID())
	for i := range uint64(3) {
		version, err := w.Pool.WriteEvents(t.Context(), key, []msg.Event{world.Event(2*i+1, "a"), world.Event(2*i+2, "b")}, w.Client, pool.WriteOptions{UserID: user})
		world.Must(t, err)
		world.Same(t, "version answered", version, i+1)
	}
	page := w.Read(t, key, msg.ReadFilters{From: 1})
	world.Same(t, "batches", len(page.Batches), 3)
	world.Same(t, "next version", page.NextVersion, msg.None[uint64]())
	for i, b := range page.Batches {
		n := uint64(i)
		world.Same(t, "version", b.Version, n+1)
		world.Same(t, "client id", b.ClientID, w.Client)
		world.Same(t, "user id", b.UserID, user)
		world.Same(t, "events", len(b.Events), 2)
		for j, e := range b.Events {
			world.Same(t, "event seq", e.EventSeq, 2*n+uint64(j)+1)
			world.Same(t, "client seq", e.ClientSeq, 2*n+uint64(j)+1)
		}
	}
	d := w.Details(t, key)
	world.Same(t, "min version", d.MinVersion, 1)
	world.Same(t, "max version", d.MaxVersion, 3)
	world.Same(t, "max event seq", d.MaxEventSeq, 6)
	world.Same(t, "deleted", d.Deleted, false)
	world.Same(t, "last client", d.LastClientID, w.Client)
	world.Same(t, "last user", d.LastUserID, user)
	world.Same(t, "last timestamp", d.LastServerTimestamp, page.Batches[2].ServerTimestamp)
}

// The fields that a writer sets in an event come back as it was: the ends of the
// ranges, absent and zero ids, empty payloads.
func eventFields(t *testing.T, w *world.World) {
	key := w.Key()
	wrote := []msg.Event{
		{ClientSeq: 1, Major: 1, Value: []byte("{}")},
		{ClientSeq: math.MaxUint64, Major: math.MaxUint64, Minor: math.MaxUint64, Timestamp: math.MaxUint64, Value: bytes.Repeat([]byte{0, 255}, 300)},
		{ClientSeq: 0, Major: 1, EventID: msg.Some(msg.ID{}), Value: nil},
		{ClientSeq: 7, Major: 2, EventID: msg.Some(world.RandomID()), IV: msg.Some(msg.IV{1, 11: 255}), Value: []byte{1}},
		{ClientSeq: 7, Major: 2, IV: msg.Some(msg.IV{}), Value: []byte{}},
	}
	_, err := w.Pool.WriteEvents(t.Context(), key, wrote, w.Client, pool.WriteOptions{UserID: msg.Some(msg.ID{})})
	world.Must(t, err)
	b := w.Read(t, key, msg.ReadFilters{From: 1}).Batches[0]
	world.Same(t, "user id", b.UserID, msg.Some(msg.ID{}))
	world.Same(t, "events", len(b.Events), len(wrote))
	for i, got := range b.Events {
		want := wrote[i]
		want.EventSeq = uint64(i + 1)
		if !bytes.Equal(got.Value, want.Value) {
			t.Errorf("event %d: got payload %x, want %x", i, got.Value, want.Value)
		}
		got.Value, want.Value = nil, nil
		if !reflect.DeepEqual(got, want) {
			t.Errorf("event %d: got %+v, want %+v", i, got, want)
		}
	}
}

func conditionalWrites(t *testing.T, w *world.World) {
	key := w.Key()
	write := func(o pool.WriteOptions) (uint64, error) {
		return w.Pool.WriteEvents(t.Context(), key, []msg.Event{world.Event(1, "x")}, w.Client, o)
	}
	at := func(v uint64) pool.WriteOptions { return pool.WriteOptions{ExpectedVersion: msg.Some(v)} }
	conflict := func(expected, current uint64) {
		t.Helper()
		_, err := write(at(expected))
		f := world.Refused(t, err, msg.CodeVersionConflict)
		world.Same(t, "expected version", f.ExpectedVersion, msg.Some(expected))
		world.Same(t, "current version", f.CurrentVersion, msg.Some(current))
		if !errors.Is(err, msg.ErrConflict) {
			t.Errorf("%v is no conflict", err)
		}
	}
	_, err := write(pool.WriteOptions{DenyCreate: true})
	world.Refused(t, err, msg.CodeWriteNotFound)
	_, err = write(pool.WriteOptions{DenyCreate: true, ExpectedVersion: msg.Some[uint64](5)})
	world.Refused(t, err, msg.CodeWriteNotFound) // existence precedes the version
	conflict(5, 0)
	v, err := write(at(0))
	world.Must(t, err)
	world.Same(t, "created version", v, 1)
	conflict(0, 1)
	v, err = write(at(1))
	world.Must(t, err)
	world.Same(t, "second version", v, 2)
	conflict(1, 2)
	conflict(3, 2)
	v, err = write(pool.WriteOptions{DenyCreate: true})
	world.Must(t, err)
	world.Same(t, "unconditional version", v, 3)
	world.Same(t, "batches", len(w.All(t, key)), 3)
}

func writeShape(t *testing.T, w *world.World) {
	key := w.Key()
	_, err := w.Pool.WriteEvents(t.Context(), key, nil, w.Client, pool.WriteOptions{})
	world.Refused(t, err, msg.CodeEmptyEvents)
	_, err = w.Pool.WriteEvents(t.Context(), key, []msg.Event{world.Event(1, "x"), {ClientSeq: 8}, {ClientSeq: 9}}, w.Client, pool.WriteOptions{DenyCreate: true})
	world.Same(t, "first offender", world.Refused(t, err, msg.CodeZeroEventType).ClientSeq, msg.Some[uint64](8))
	_, err = w.Pool.Write(t.Context(), &msg.WriteRequest{ClientID: w.Client})
	if f := world.Refused(t, err, msg.CodeRouting); !f.NumShards.Set || f.NumShards.Value != w.Shards {
		t.Errorf("num_shards is %v, want %d", f.NumShards, w.Shards)
	}
	_, err = w.Pool.Details(t.Context(), key)
	world.Refused(t, err, msg.CodeDetailsNotFound) // nothing of it was applied
}

func idempotency(t *testing.T, w *world.World) {
	key := w.Key()
	enforced := pool.WriteOptions{EnforceIdempotency: true}
	write := func(client msg.ID, o pool.WriteOptions, seqs ...uint64) error {
		var events []msg.Event
		for _, s := range seqs {
			events = append(events, world.Event(s, "x"))
		}
		_, err := w.Pool.WriteEvents(t.Context(), key, events, client, o)
		return err
	}
	duplicate := func(err error, last, attempted uint64) {
		t.Helper()
		f := world.Refused(t, err, msg.CodeDuplicate)
		world.Same(t, "last client seq", f.LastClientSeq, msg.Some(last))
		world.Same(t, "attempted client seq", f.AttemptedClientSeq, msg.Some(attempted))
	}
	world.Must(t, write(w.Client, enforced, 5))
	duplicate(write(w.Client, enforced, 5), 5, 5)
	duplicate(write(w.Client, enforced, 3, 9), 5, 3)
	world.Must(t, write(w.Client, enforced, 6, 7))
	world.Must(t, write(world.RandomID(), enforced, 1)) // another client counts for itself
	world.Must(t, write(w.Client, pool.WriteOptions{}, 2))
	duplicate(write(w.Client, enforced, 7), 7, 7) // the lower one did not lower it
	stale := enforced
	stale.ExpectedVersion = msg.Some[uint64](1)
	world.Refused(t, write(w.Client, stale, 7), msg.CodeVersionConflict) // the version precedes
	zero := world.RandomID()
	world.Must(t, write(zero, pool.WriteOptions{}, 0))
	world.Must(t, write(zero, enforced, 1)) // a stored 0 counts as none
	if err := write(zero, enforced, 2, 0); !errors.Is(err, pool.ErrInvalid) || msg.Ambiguous(err) {
		t.Errorf("an enforced sequence of 0 gave %v", err)
	}
	world.Same(t, "batches", len(w.All(t, key)), 6)
}

func idempotencySurvives(t *testing.T, w *world.World) {
	for _, continues := range []bool{true, false} {
		key := w.Key()
		write := func(seq uint64) error {
			_, err := w.Pool.WriteEvents(t.Context(), key, []msg.Event{world.Event(seq, "x")}, w.Client, pool.WriteOptions{EnforceIdempotency: true})
			return err
		}
		world.Must(t, write(10))
		world.Must(t, write(11))
		w.Trim(t, key, 2)
		world.Refused(t, write(10), msg.CodeDuplicate)
		w.Delete(t, msg.AggregateDelete{Key: key, AllowRecreate: true, AllowSequenceContinuation: continues})
		world.Refused(t, write(11), msg.CodeDuplicate)
		world.Must(t, write(12))
		world.Refused(t, write(12), msg.CodeDuplicate)
	}
}

func severalAggregates(t *testing.T, w *world.World) {
	a := w.Key()
	b, c := w.Sibling(a), w.Sibling(a)
	w.Write(t, b, "before")
	answer, err := w.Pool.Write(t.Context(), &msg.WriteRequest{ClientID: w.Client, Writes: []msg.AggregateWrite{
		{Key: a, Events: []msg.Event{world.Event(1, "a")}},
		{Key: b, Events: []msg.Event{world.Event(2, "b")}, ExpectedVersion: msg.Some[uint64](1), DenyCreate: true},
		{Key: c, Events: []msg.Event{world.Event(1, "c"), world.Event(2, "c")}},
	}})
	world.Must(t, err)
	world.Same(t, "version answered for several", answer.MaxVersion, msg.None[uint64]())
	stamps := make(map[uint64]bool)
	for key, version := range map[msg.Key]uint64{a: 1, b: 2, c: 1} {
		batches := w.All(t, key)
		world.Same(t, "version", batches[len(batches)-1].Version, version)
		stamps[batches[len(batches)-1].ServerTimestamp] = true
	}
	world.Same(t, "timestamps of one request", len(stamps), 1)
}

func allOrNone(t *testing.T, w *world.World) {
	a := w.Key()
	b := w.Sibling(a)
	w.Write(t, b, "before")
	_, err := w.Pool.Write(t.Context(), &msg.WriteRequest{ClientID: w.Client, Writes: []msg.AggregateWrite{
		{Key: a, Events: []msg.Event{world.Event(1, "a")}},
		{Key: b, Events: []msg.Event{world.Event(2, "b")}, ExpectedVersion: msg.Some[uint64](7), DenyCreate: true},
	}})
	world.Refused(t, err, msg.CodeVersionConflict)
	_, err = w.Pool.Details(t.Context(), a)
	world.Refused(t, err, msg.CodeDetailsNotFound)
	if got := world.Versions(w.All(t, b)); !slices.Equal(got, []uint64{1}) {
		t.Errorf("versions %v", got)
	}
}

func acrossShards(t *testing.T, w *world.World) {
	a, b := w.Apart()
	_, err := w.Pool.Write(t.Context(), &msg.WriteRequest{ClientID: w.Client, Writes: []msg.AggregateWrite{
		{Key: a, Events: []msg.Event{world.Event(1, "a")}},
		{Key: b, Events: []msg.Event{world.Event(1, "b")}},
	}})
	world.Same(t, "shards", world.Refused(t, err, msg.CodeSeveralShards).NumShards, msg.Some(w.Shards))
	_, err = w.Pool.Details(t.Context(), a)
	world.Refused(t, err, msg.CodeDetailsNotFound)
	w.Write(t, a, "a")
	w.Write(t, b, "b")
	world.Refused(t, w.Remove(t, msg.AggregateDelete{Key: a}, msg.AggregateDelete{Key: b}), msg.CodeSeveralShards)
	world.Same(t, "batches left", len(w.All(t, a))+len(w.All(t, b)), 2)
}

func largePayload(t *testing.T, w *world.World) {
	key := w.Key()
	var events []msg.Event
	for i := range uint64(4) {
		value := make([]byte, 300_000)
		for j := range value {
			value[j] = byte(uint64(j) * (i + 3) >> 3)
		}
		events = append(events, msg.Event{ClientSeq: i + 1, Major: 1, Value: value})
	}
	_, err := w.Pool.WriteEvents(t.Context(), key, events, w.Client, pool.WriteOptions{})
	world.Must(t, err)
	got := w.All(t, key)[0].Events
	for i, e := range events {
		if !bytes.Equal(got[i].Value, e.Value) {
			t.Errorf("payload %d is another one", i)
		}
	}
	_, err = w.Pool.WriteEvents(t.Context(), key, []msg.Event{{ClientSeq: 9, Major: 1, Value: make([]byte, pool.DefaultMaxRequestSize)}}, w.Client, pool.WriteOptions{})
	if !errors.Is(err, pool.ErrTooLarge) || msg.Ambiguous(err) {
		t.Errorf("an oversize write gave %v", err)
	}
}
