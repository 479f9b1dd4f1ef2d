package operators_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/events"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

type placed struct{ Item string }

func TestDecodeChange(t *testing.T) {
	r := events.MustRegistry(events.JSON[placed](1, 0).AnyMinor())
	iv := msg.IV{1}
	decoded, err := operators.DecodeChange(r, stream.Change{Kind: stream.Batch, Key: keyOf(1), Batch: msg.Batch{Version: 9, Events: []msg.Event{
		{Major: 1, EventSeq: 4, Value: []byte(`{"item":"book","more":1}`)},
		{Major: 1, Minor: 3, EventSeq: 5, Value: []byte(`{}`)},
		{Major: 3, EventSeq: 8, Value: []byte("kept")},
		{Major: 1, EventSeq: 9, Value: []byte("secret"), IV: msg.Some(iv)},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if len(decoded) != 4 {
		t.Fatalf("got %d events", len(decoded))
	}
	for i, want := range []any{placed{"book"}, placed{}, events.Unknown{Type: events.Type{Major: 3}}, events.Encrypted{Type: events.Type{Major: 1}, IV: iv}} {
		if decoded[i].Value != want {
			t.Errorf("event %d is %#v, want %#v", i, decoded[i].Value, want)
		}
	}
	if u := decoded[2]; string(u.Event.Value) != "kept" || u.Key != keyOf(1) || u.Version != 9 || u.Event.EventSeq != 8 {
		t.Errorf("the unknown event is %+v", u)
	}
	if none, err := operators.DecodeChange(r, stream.Change{Kind: stream.Deleted, Key: keyOf(1)}); none != nil || err != nil {
		t.Errorf("a deletion gave %v, %v", none, err)
	}
}

func TestDecodeErrorNamesTheEvent(t *testing.T) {
	r := events.MustRegistry(events.JSON[placed](1, 0).AnyMinor())
	_, err := operators.DecodeChange(r, stream.Change{Kind: stream.Batch, Key: keyOf(1), Batch: msg.Batch{Version: 9, Events: []msg.Event{
		{Major: 1, Value: []byte(`{}`)}, {Major: 1, Minor: 2, EventSeq: 5, Value: []byte(`{"item":`)},
	}}})
	var bad *operators.DecodeError
	if !errors.As(err, &bad) || bad.Key != keyOf(1) || bad.Version != 9 || bad.EventSeq != 5 || bad.Major != 1 || bad.Minor != 2 {
		t.Fatalf("got %v", err)
	}
	for _, part := range []string{keyOf(1).String(), "batch 9", "event 5", "type 1.2", "unexpected end"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not name %q", err, part)
		}
	}
}

func TestDecodeFlowKeepsPositions(t *testing.T) {
	deleted := stream.Change{Kind: stream.Deleted, Key: keyOf(2), Cursor: checkpoint.Cursor{Version: 3, Deleted: true}}
	p := full([]stream.Change{deleted, batchOf(1, 1, `{"item":"a"}`, `{"item":"b"}`)})
	flow := operators.Decode(operators.Changes(p), events.MustRegistry(events.JSON[placed](1, 0)))
	s, err := flow.Next(t.Context())
	if err != nil || len(s.Items) != 2 || s.Items[1].Value.(placed).Item != "b" {
		t.Fatalf("got %+v, %v", s, err)
	}
	if e := s.Entries(); len(e) != 2 || !e[0].Cursor.Deleted || e[1].Key != keyOf(1) {
		t.Errorf("entries %v", e)
	}
}

// An upcaster that fails is a verdict's matter, as any failure of a handler: the aggregate
// is parked with the step named, all others go on, and a mended program handles it.
//
//covers:verdicts
func TestAnUpcasterThatFailsParksItsAggregate(t *testing.T) {
	type v0 struct{ Cents string }
	type v1 struct{ Cents int }
	registry := func(lift func(v0) (v1, error)) *events.Registry {
		return events.MustRegistry(events.JSON[v1](1, 1), events.Upcast(1, 0, lift))
	}
	synctest.Test(t, func(t *testing.T) {
		store := checkpoint.NewMemory()
		w := newWorld(t, store)
		w.write(1, `{"Cents":"many"}`) // of the old form, which the upcaster does not understand
		w.write(2, `{"Cents":"7"}`)
		sums := make(map[string]int)
		handle := func(r *events.Registry) operators.Handler {
			return func(_ context.Context, c stream.Change) error {
				decoded, err := operators.DecodeChange(r, c)
				for _, e := range decoded {
					sums[describe(c)] += e.Value.(v1).Cents
				}
				return err
			}
		}
		strict := registry(func(old v0) (v1, error) {
			cents, err := strconv.Atoi(old.Cents)
			return v1{cents}, err
		})
		c := w.consume(handle(strict), operators.WithVerdicts(func(f operators.Failure) operators.Verdict {
			if step, ok := errors.AsType[*events.UpcastError](f.Err); ok && step.From == (events.Type{Major: 1}) {
				return operators.Park
			}
			return operators.Stop
		}))
		time.Sleep(time.Minute)
		synctest.Wait()
		parked := w.parked(store)
		if len(parked) != 1 || parked[0].Key != keyOf(1) || !strings.Contains(parked[0].Error, "upcasting 1.0 to 1.1") || w.version(1) != 0 {
			t.Fatalf("parked %+v, stored %d", parked, w.version(1))
		}
		if sums["2.1"] != 7 || len(sums) != 1 {
			t.Errorf("handled %v", sums)
		}
		c.stop()
		lenient := registry(func(v0) (v1, error) { return v1{Cents: 1000}, nil })
		if err := checkpoint.RequestParked(t.Context(), store, "test", parked[0], checkpoint.ActionRelease, "test"); err != nil {
			t.Fatal(err)
		}
		c = w.consume(handle(lenient))
		time.Sleep(time.Minute)
		synctest.Wait()
		if sums["1.1"] != 1000 || w.version(1) != 1 {
			t.Errorf("after the release %v, stored %d", sums, w.version(1))
		}
		c.stop()
	})
}
