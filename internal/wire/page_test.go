package wire_test

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// TestPagesAreRefilled decodes pages of changing shapes into one ReadPage and
// compares each with a fresh decode: nothing of an earlier page may shine
// through, absent values and shorter lists included.
func TestPagesAreRefilled(t *testing.T) {
	full := fullMessages()["read response"].(*msg.ReadResponse)
	bare := &msg.ReadResponse{Batches: []msg.Batch{{Version: 9, Events: []msg.Event{{Value: []byte{}}, {Value: []byte("b")}, {}}}}}
	shapes := []*msg.ReadResponse{full, bare, page(3, 7), {}, page(100, 2), full, page(1, 300), bare, page(40, 40), full}
	for _, v := range []wire.Version{wire.V2, wire.V3} {
		var into wire.ReadPage
		for i, shape := range shapes {
			body := encodeFrame(t, v, shape)[wire.HeaderSize:]
			if err := wire.DecodeRead(v, body, &into); err != nil {
				t.Fatal(err)
			}
			fresh, err := wire.DecodeResponse(v, msg.TypeReadResponse, body)
			if err != nil {
				t.Fatal(err)
			}
			got, want := into.ReadResponse, *fresh.(*msg.ReadResponse)
			if len(got.Batches) == 0 {
				got.Batches = want.Batches // nil and empty
			}
			if !reflect.DeepEqual(got, want) { // the zero behind an absent value included
				t.Errorf("version %d, page %d: decodes to\n%v, want\n%v", v, i, got, want)
			}
			if got, want := positional(&into.ReadResponse), positional(shape); i != 1 && i != 7 && !reflect.DeepEqual(got, want) {
				t.Errorf("version %d, page %d: decodes to\n%v, want\n%v", v, i, got, want)
			}
		}
	}
}

func TestRefillingAPageDoesNotAllocate(t *testing.T) {
	for _, v := range []wire.Version{wire.V2, wire.V3} {
		body := encodeFrame(t, v, page(50, 7))[wire.HeaderSize:]
		var into wire.ReadPage
		for range 5 { // until the arena holds a whole page
			if err := wire.DecodeRead(v, body, &into); err != nil {
				t.Fatal(err)
			}
		}
		if allocs := testing.AllocsPerRun(20, func() {
			if err := wire.DecodeRead(v, body, &into); err != nil {
				t.Fatal(err)
			}
		}); allocs != 0 {
			t.Errorf("version %d: %v allocations per page", v, allocs)
		}
	}
}

func TestFreshPagesAllocateLittle(t *testing.T) {
	for _, v := range []wire.Version{wire.V2, wire.V3} {
		body := encodeFrame(t, v, page(100, 10))[wire.HeaderSize:]
		if allocs := testing.AllocsPerRun(10, func() {
			if _, err := wire.DecodeResponse(v, msg.TypeReadResponse, body); err != nil {
				t.Fatal(err)
			}
		}); allocs > 12 {
			t.Errorf("version %d: %v allocations for a page of 1000 events", v, allocs)
		}
	}
}

// TestAMissingIVIsAbsent fills a page whose events had one with a body in
// which the field is left out.
func TestAMissingIVIsAbsent(t *testing.T) {
	var into wire.ReadPage
	full := encodeFrame(t, wire.V3, fullMessages()["read response"])[wire.HeaderSize:]
	if err := wire.DecodeRead(wire.V3, full, &into); err != nil {
		t.Fatal(err)
	}
	if err := wire.DecodeRead(wire.V3, unhex(t, inPage("970100c0000a00c40141")), &into); err != nil {
		t.Fatal(err)
	}
	if iv := into.Batches[0].Events[0].IV; iv != msg.None[msg.IV]() {
		t.Errorf("the event has the iv %v", iv)
	}
}

// TestBatchesDoNotShareRoom: appending to the events of one batch must not
// overwrite those of the next, nor appending to a payload what follows it.
func TestBatchesDoNotShareRoom(t *testing.T) {
	for _, v := range []wire.Version{wire.V2, wire.V3} {
		body := encodeFrame(t, v, page(3, 3))[wire.HeaderSize:]
		var into wire.ReadPage
		for range 2 {
			if err := wire.DecodeRead(v, body, &into); err != nil {
				t.Fatal(err)
			}
		}
		want := bytes.Clone(body)
		for _, b := range into.Batches {
			_ = append(b.Events, msg.Event{EventSeq: 77})
			_ = append(b.Events[0].Value, "overwritten"...)
		}
		if got := into.Batches[1].Events[0].EventSeq; got != 4 {
			t.Errorf("version %d: the second batch begins with event %d", v, got)
		}
		if !bytes.Equal(body, want) {
			t.Errorf("version %d: the body was overwritten", v)
		}
	}
}

// TestPayloadsAliasTheBody pins the ownership rule: payloads follow the body,
// a clone does not.
func TestPayloadsAliasTheBody(t *testing.T) {
	for _, v := range []wire.Version{wire.V2, wire.V3} {
		body := encodeFrame(t, v, page(1, 1))[wire.HeaderSize:]
		var into wire.ReadPage
		if err := wire.DecodeRead(v, body, &into); err != nil {
			t.Fatal(err)
		}
		clone := into.Batches[0].Clone()
		clear(body)
		if into.Batches[0].Events[0].Value[0] != 0 || clone.Events[0].Value[0] != 1 {
			t.Errorf("version %d: payload %x, clone %x", v, into.Batches[0].Events[0].Value[:1], clone.Events[0].Value[:1])
		}
	}
}

func TestAPageIsEmptyAfterAnError(t *testing.T) {
	for _, v := range []wire.Version{wire.V2, wire.V3} {
		body := encodeFrame(t, v, page(3, 3))[wire.HeaderSize:]
		var into wire.ReadPage
		if err := wire.DecodeRead(v, body, &into); err != nil {
			t.Fatal(err)
		}
		if err := wire.DecodeRead(v, body[:len(body)-1], &into); err == nil {
			t.Fatalf("version %d: a body cut short is accepted", v)
		}
		if len(into.Batches) != 0 || into.NextVersion.Set || into.CorrelationID.Set {
			t.Errorf("version %d: %+v", v, into.ReadResponse)
		}
	}
}

// TestPayloadsHaveNoRoom: whatever form a payload came in, appending to it
// must not overwrite the body.
func TestPayloadsHaveNoRoom(t *testing.T) {
	for _, value := range []string{"c40141", "c5000141", "c60000000141", "a141", "d90141", "9141"} {
		body := unhex(t, inPage("980100c0000a00"+value+"c0"))
		want := bytes.Clone(body)
		var into wire.ReadPage
		if err := wire.DecodeRead(wire.V3, body, &into); err != nil {
			t.Fatal(err)
		}
		_ = append(into.Batches[0].Events[0].Value, 'x')
		if !bytes.Equal(body, want) {
			t.Errorf("payload %s: the body was overwritten", value)
		}
	}
}

// TestArenasAreNotLargerThanNeeded: a page of like batches costs the memory of
// its events and little more.
func TestArenasAreNotLargerThanNeeded(t *testing.T) {
	const batches, events = 200, 5
	need := uint64(batches*events)*uint64(reflect.TypeFor[msg.Event]().Size()) + batches*uint64(reflect.TypeFor[msg.Batch]().Size())
	for _, v := range []wire.Version{wire.V2, wire.V3} {
		body := encodeFrame(t, v, page(batches, events))[wire.HeaderSize:]
		cost := allocated(func() {
			if err := wire.DecodeRead(v, body, new(wire.ReadPage)); err != nil {
				t.Fatal(err)
			}
		})
		if cost > need+need/10 {
			t.Errorf("version %d: %d bytes for batches and events of %d", v, cost, need)
		}
	}
}
