package operators_test

import (
	"errors"
	"strings"
	"testing"

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
