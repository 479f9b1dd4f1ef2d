package operators_test

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

type placed struct{ Item string }

func number(b []byte) (uint64, error) {
	if len(b) != 8 {
		return 0, errors.New("want 8 bytes")
	}
	return binary.BigEndian.Uint64(b), nil
}

func TestDecode(t *testing.T) {
	d := operators.NewDecoder(
		operators.JSON[placed](1),
		operators.Codec(2, number),
		operators.Codec(2, func([]byte) (string, error) { return "old", nil }).Minor(7),
	)
	iv := msg.IV{1}
	events, err := d.Decode(stream.Change{Kind: stream.Batch, Key: keyOf(1), Batch: msg.Batch{Version: 9, Events: []msg.Event{
		{Major: 1, EventSeq: 4, Value: []byte(`{"item":"book","more":1}`)},
		{Major: 1, Minor: 3, EventSeq: 5, Value: []byte(`{}`)},
		{Major: 2, EventSeq: 6, Value: binary.BigEndian.AppendUint64(nil, 42)},
		{Major: 2, Minor: 7, EventSeq: 7},
		{Major: 3, EventSeq: 8, Value: []byte("kept")},
		{Major: 1, EventSeq: 9, Value: []byte("secret"), IV: msg.Some(iv)},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if len(events) != 6 {
		t.Fatalf("got %d events", len(events))
	}
	if p, ok := events[0].Value.(*placed); !ok || p.Item != "book" {
		t.Errorf("JSON gave %#v", events[0].Value)
	}
	if _, ok := events[1].Value.(*placed); !ok || events[1].Event.Minor != 3 {
		t.Errorf("another minor version gave %#v", events[1])
	}
	for i, want := range map[int]any{2: uint64(42), 3: "old", 4: operators.Unknown{}, 5: operators.Encrypted{IV: iv}} {
		if events[i].Value != want {
			t.Errorf("event %d is %#v, want %#v", i, events[i].Value, want)
		}
	}
	if string(events[4].Event.Value) != "kept" || events[4].Key != keyOf(1) || events[4].Version != 9 || events[4].Event.EventSeq != 8 {
		t.Errorf("the unknown event is %+v", events[4])
	}
}

func TestDecodeErrorNamesTheEvent(t *testing.T) {
	d := operators.NewDecoder(operators.JSON[placed](1))
	_, err := d.Decode(stream.Change{Kind: stream.Batch, Key: keyOf(1), Batch: msg.Batch{Version: 9, Events: []msg.Event{
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
	flow := operators.Decode(operators.Changes(p), operators.NewDecoder(operators.JSON[placed](1)))
	s, err := flow.Next(t.Context())
	if err != nil || len(s.Items) != 2 || s.Items[1].Value.(*placed).Item != "b" {
		t.Fatalf("got %+v, %v", s, err)
	}
	if e := s.Entries(); len(e) != 2 || !e[0].Cursor.Deleted || e[1].Key != keyOf(1) {
		t.Errorf("entries %v", e)
	}
}

func TestNewDecoderRefusesMistakes(t *testing.T) {
	for name, types := range map[string][]operators.Type{
		"type 0":             {operators.JSON[placed](0)},
		"twice":              {operators.JSON[placed](1), operators.Codec(1, number)},
		"minor twice":        {operators.JSON[placed](1).Minor(1), operators.JSON[placed](1).Minor(1)},
		"minor of type zero": {operators.JSON[placed](0).Minor(1)},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			operators.NewDecoder(types...)
		}()
	}
}
