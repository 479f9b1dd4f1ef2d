package conformance

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

var writeRules = []rule{
	{name: "append_and_read", check: appendAndRead},
	{name: "event_fields_verbatim", check: eventFields},
	{name: "conditional_writes", check: conditionalWrites},
	{name: "shape_of_writes", check: writeShape},
	{name: "idempotency", check: idempotency},
	{name: "idempotency_survives_trim_and_delete", check: idempotencySurvives},
	{name: "several_aggregates_at_once", check: severalAggregates},
	{name: "several_aggregates_all_or_none", check: allOrNone},
	{name: "several_shards_refused", check: acrossShards, needs: severalShards},
	{name: "large_payload", check: largePayload, needs: func(w *world) bool { return w.target.MaxResponseSize == 0 }},
}

func appendAndRead(t *testing.T, w *world) {
	key := w.key()
	user := msg.Some(randomID())
	for i := range uint64(3) {
		version, err := w.pool.WriteEvents(t.Context(), key, []msg.Event{event(2*i+1, "a"), event(2*i+2, "b")}, w.client, pool.WriteOptions{UserID: user})
		done(t, err)
		same(t, "version answered", version, i+1)
	}
	page := w.read(t, key, msg.ReadFilters{From: 1})
	same(t, "batches", len(page.Batches), 3)
	same(t, "next version", page.NextVersion, msg.None[uint64]())
	for i, b := range page.Batches {
		n := uint64(i)
		same(t, "version", b.Version, n+1)
		same(t, "client id", b.ClientID, w.client)
		same(t, "user id", b.UserID, user)
		same(t, "events", len(b.Events), 2)
		for j, e := range b.Events {
			same(t, "event seq", e.EventSeq, 2*n+uint64(j)+1)
			same(t, "client seq", e.ClientSeq, 2*n+uint64(j)+1)
		}
	}
	d := w.details(t, key)
	same(t, "min version", d.MinVersion, 1)
	same(t, "max version", d.MaxVersion, 3)
	same(t, "max event seq", d.MaxEventSeq, 6)
	same(t, "deleted", d.Deleted, false)
	same(t, "last client", d.LastClientID, w.client)
	same(t, "last user", d.LastUserID, user)
	same(t, "last timestamp", d.LastServerTimestamp, page.Batches[2].ServerTimestamp)
}

// What a writer puts into an event comes back as it was: the ends of the
// ranges, absent and zero ids, empty payloads.
func eventFields(t *testing.T, w *world) {
	key := w.key()
	wrote := []msg.Event{
		{ClientSeq: 1, Major: 1, Value: []byte("{}")},
		{ClientSeq: math.MaxUint64, Major: math.MaxUint64, Minor: math.MaxUint64, Timestamp: math.MaxUint64, Value: bytes.Repeat([]byte{0, 255}, 300)},
		{ClientSeq: 0, Major: 1, EventID: msg.Some(msg.ID{}), Value: nil},
		{ClientSeq: 7, Major: 2, EventID: msg.Some(randomID()), IV: msg.Some(msg.IV{1, 11: 255}), Value: []byte{1}},
		{ClientSeq: 7, Major: 2, IV: msg.Some(msg.IV{}), Value: []byte{}},
	}
	_, err := w.pool.WriteEvents(t.Context(), key, wrote, w.client, pool.WriteOptions{UserID: msg.Some(msg.ID{})})
	done(t, err)
	b := w.read(t, key, msg.ReadFilters{From: 1}).Batches[0]
	same(t, "user id", b.UserID, msg.Some(msg.ID{}))
	same(t, "events", len(b.Events), len(wrote))
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

func conditionalWrites(t *testing.T, w *world) {
	key := w.key()
	write := func(o pool.WriteOptions) (uint64, error) {
		return w.pool.WriteEvents(t.Context(), key, []msg.Event{event(1, "x")}, w.client, o)
	}
	at := func(v uint64) pool.WriteOptions { return pool.WriteOptions{ExpectedVersion: msg.Some(v)} }
	conflict := func(expected, current uint64) {
		t.Helper()
		_, err := write(at(expected))
		f := refused(t, err, msg.CodeVersionConflict)
		same(t, "expected version", f.ExpectedVersion, msg.Some(expected))
		same(t, "current version", f.CurrentVersion, msg.Some(current))
		if !errors.Is(err, msg.ErrConflict) {
			t.Errorf("%v is no conflict", err)
		}
	}
	_, err := write(pool.WriteOptions{DenyCreate: true})
	refused(t, err, msg.CodeWriteNotFound)
	_, err = write(pool.WriteOptions{DenyCreate: true, ExpectedVersion: msg.Some[uint64](5)})
	refused(t, err, msg.CodeWriteNotFound) // existence precedes the version
	conflict(5, 0)
	v, err := write(at(0))
	done(t, err)
	same(t, "created version", v, 1)
	conflict(0, 1)
	v, err = write(at(1))
	done(t, err)
	same(t, "second version", v, 2)
	conflict(1, 2)
	conflict(3, 2)
	v, err = write(pool.WriteOptions{DenyCreate: true})
	done(t, err)
	same(t, "unconditional version", v, 3)
	same(t, "batches", len(w.all(t, key)), 3)
}

func writeShape(t *testing.T, w *world) {
	key := w.key()
	_, err := w.pool.WriteEvents(t.Context(), key, nil, w.client, pool.WriteOptions{})
	refused(t, err, msg.CodeEmptyEvents)
	_, err = w.pool.WriteEvents(t.Context(), key, []msg.Event{event(1, "x"), {ClientSeq: 8}, {ClientSeq: 9}}, w.client, pool.WriteOptions{DenyCreate: true})
	same(t, "first offender", refused(t, err, msg.CodeZeroEventType).ClientSeq, msg.Some[uint64](8))
	_, err = w.pool.Write(t.Context(), &msg.WriteRequest{ClientID: w.client})
	if f := refused(t, err, msg.CodeRouting); !f.NumShards.Set || f.NumShards.Value != w.shards {
		t.Errorf("num_shards is %v, want %d", f.NumShards, w.shards)
	}
	_, err = w.pool.Details(t.Context(), key)
	refused(t, err, msg.CodeDetailsNotFound) // nothing of it was applied
}

func idempotency(t *testing.T, w *world) {
	key := w.key()
	enforced := pool.WriteOptions{EnforceIdempotency: true}
	write := func(client msg.ID, o pool.WriteOptions, seqs ...uint64) error {
		var events []msg.Event
		for _, s := range seqs {
			events = append(events, event(s, "x"))
		}
		_, err := w.pool.WriteEvents(t.Context(), key, events, client, o)
		return err
	}
	duplicate := func(err error, last, attempted uint64) {
		t.Helper()
		f := refused(t, err, msg.CodeDuplicate)
		same(t, "last client seq", f.LastClientSeq, msg.Some(last))
		same(t, "attempted client seq", f.AttemptedClientSeq, msg.Some(attempted))
	}
	done(t, write(w.client, enforced, 5))
	duplicate(write(w.client, enforced, 5), 5, 5)
	duplicate(write(w.client, enforced, 3, 9), 5, 3)
	done(t, write(w.client, enforced, 6, 7))
	done(t, write(randomID(), enforced, 1)) // another client counts for itself
	done(t, write(w.client, pool.WriteOptions{}, 2))
	duplicate(write(w.client, enforced, 7), 7, 7) // the lower one did not lower it
	stale := enforced
	stale.ExpectedVersion = msg.Some[uint64](1)
	refused(t, write(w.client, stale, 7), msg.CodeVersionConflict) // the version precedes
	zero := randomID()
	done(t, write(zero, pool.WriteOptions{}, 0))
	done(t, write(zero, enforced, 1)) // a stored 0 counts as none
	if err := write(zero, enforced, 2, 0); !errors.Is(err, pool.ErrInvalid) || msg.Ambiguous(err) {
		t.Errorf("an enforced sequence of 0 gave %v", err)
	}
	same(t, "batches", len(w.all(t, key)), 6)
}

func idempotencySurvives(t *testing.T, w *world) {
	for _, continues := range []bool{true, false} {
		key := w.key()
		write := func(seq uint64) error {
			_, err := w.pool.WriteEvents(t.Context(), key, []msg.Event{event(seq, "x")}, w.client, pool.WriteOptions{EnforceIdempotency: true})
			return err
		}
		done(t, write(10))
		done(t, write(11))
		w.trim(t, key, 2)
		refused(t, write(10), msg.CodeDuplicate)
		w.delete(t, msg.AggregateDelete{Key: key, AllowRecreate: true, AllowSequenceContinuation: continues})
		refused(t, write(11), msg.CodeDuplicate)
		done(t, write(12))
		refused(t, write(12), msg.CodeDuplicate)
	}
}

func severalAggregates(t *testing.T, w *world) {
	a := w.key()
	b, c := w.sibling(a), w.sibling(a)
	w.write(t, b, "before")
	answer, err := w.pool.Write(t.Context(), &msg.WriteRequest{ClientID: w.client, Writes: []msg.AggregateWrite{
		{Key: a, Events: []msg.Event{event(1, "a")}},
		{Key: b, Events: []msg.Event{event(2, "b")}, ExpectedVersion: msg.Some[uint64](1), DenyCreate: true},
		{Key: c, Events: []msg.Event{event(1, "c"), event(2, "c")}},
	}})
	done(t, err)
	same(t, "version answered for several", answer.MaxVersion, msg.None[uint64]())
	stamps := make(map[uint64]bool)
	for key, version := range map[msg.Key]uint64{a: 1, b: 2, c: 1} {
		batches := w.all(t, key)
		same(t, "version", batches[len(batches)-1].Version, version)
		stamps[batches[len(batches)-1].ServerTimestamp] = true
	}
	same(t, "timestamps of one request", len(stamps), 1)
}

func allOrNone(t *testing.T, w *world) {
	a := w.key()
	b := w.sibling(a)
	w.write(t, b, "before")
	_, err := w.pool.Write(t.Context(), &msg.WriteRequest{ClientID: w.client, Writes: []msg.AggregateWrite{
		{Key: a, Events: []msg.Event{event(1, "a")}},
		{Key: b, Events: []msg.Event{event(2, "b")}, ExpectedVersion: msg.Some[uint64](7), DenyCreate: true},
	}})
	refused(t, err, msg.CodeVersionConflict)
	_, err = w.pool.Details(t.Context(), a)
	refused(t, err, msg.CodeDetailsNotFound)
	if got := versions(w.all(t, b)); !slices.Equal(got, []uint64{1}) {
		t.Errorf("versions %v", got)
	}
}

func acrossShards(t *testing.T, w *world) {
	a, b := w.apart()
	_, err := w.pool.Write(t.Context(), &msg.WriteRequest{ClientID: w.client, Writes: []msg.AggregateWrite{
		{Key: a, Events: []msg.Event{event(1, "a")}},
		{Key: b, Events: []msg.Event{event(1, "b")}},
	}})
	same(t, "shards", refused(t, err, msg.CodeSeveralShards).NumShards, msg.Some(w.shards))
	_, err = w.pool.Details(t.Context(), a)
	refused(t, err, msg.CodeDetailsNotFound)
	w.write(t, a, "a")
	w.write(t, b, "b")
	refused(t, w.remove(t, msg.AggregateDelete{Key: a}, msg.AggregateDelete{Key: b}), msg.CodeSeveralShards)
	same(t, "batches left", len(w.all(t, a))+len(w.all(t, b)), 2)
}

func largePayload(t *testing.T, w *world) {
	key := w.key()
	var events []msg.Event
	for i := range uint64(4) {
		value := make([]byte, 300_000)
		for j := range value {
			value[j] = byte(uint64(j) * (i + 3) >> 3)
		}
		events = append(events, msg.Event{ClientSeq: i + 1, Major: 1, Value: value})
	}
	_, err := w.pool.WriteEvents(t.Context(), key, events, w.client, pool.WriteOptions{})
	done(t, err)
	got := w.all(t, key)[0].Events
	for i, e := range events {
		if !bytes.Equal(got[i].Value, e.Value) {
			t.Errorf("payload %d is another one", i)
		}
	}
	_, err = w.pool.WriteEvents(t.Context(), key, []msg.Event{{ClientSeq: 9, Major: 1, Value: make([]byte, pool.DefaultMaxRequestSize)}}, w.client, pool.WriteOptions{})
	if !errors.Is(err, pool.ErrTooLarge) || msg.Ambiguous(err) {
		t.Errorf("an oversize write gave %v", err)
	}
}
