package wire

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"testing"

	"github.com/celeriant/celeriant-go/msg"
)

// decodeBothWays decodes a read response with the fast readers and by the field list
// alone, into pages that hold other events already.
func decodeBothWays(t *testing.T, v Version, body []byte) {
	t.Helper()
	var pages [2]ReadPage
	var errs [2]error
	for i := range pages {
		stale := msg.Event{ClientSeq: 99, EventID: msg.Some(msg.IDFromUint64(9)), Value: []byte("stale"), IV: msg.Some(msg.IV{9})}
		c := reader(v, body)
		c.arena = []msg.Event{stale, stale, stale, stale}[:0]
		c.fieldsOnly = i == 1
		c.readResponse(&pages[i].ReadResponse)
		if c.err != nil {
			errs[i] = c.failure(v, "read response")
			pages[i].ReadResponse = msg.ReadResponse{}
		}
	}
	if !reflect.DeepEqual(errs[0], errs[1]) {
		t.Fatalf("version %d, %x: fast %v, by fields %v", v, body, errs[0], errs[1])
	}
	if !reflect.DeepEqual(pages[0], pages[1]) {
		t.Fatalf("version %d, %x: fast\n%+v, by fields\n%+v", v, body, pages[0].ReadResponse, pages[1].ReadResponse)
	}
	for _, b := range pages[0].Batches {
		for _, e := range b.Events {
			if cap(e.Value) != len(e.Value) {
				t.Fatalf("version %d, %x: a payload has room behind it", v, body)
			}
		}
	}
}

// eventShapes are the forms of events that take different ways through the readers.
func eventShapes() []msg.Event {
	var all []msg.Event
	for _, value := range []int{0, 1, 31, 32, 100, 255, 256, 1000, 65_535, 65_536, 70_000} {
		for _, n := range []uint64{0, 127, 128, 255, 256, 65_535, 65_536, 1<<32 - 1, 1 << 32, ^uint64(0)} {
			e := msg.Event{ClientSeq: n, EventSeq: n / 2, Timestamp: n, Major: n, Minor: n / 3, Value: bytes.Repeat([]byte{7}, value)}
			all = append(all, e)
			e.EventID = msg.Some(msg.IDFromUint64s(n, 1))
			all = append(all, e)
			e.IV = msg.Some(msg.IV{1, 2, 3})
			all = append(all, e)
		}
	}
	return all
}

func TestFastEventsOfEveryShape(t *testing.T) {
	for _, v := range []Version{V2, V3} {
		for _, e := range eventShapes() {
			page := &msg.ReadResponse{Batches: []msg.Batch{
				{Version: 1, Events: []msg.Event{e, {Value: []byte{1}}, e}},
				{Version: 2, UserID: msg.Some(msg.IDFromUint64(5)), Events: []msg.Event{e}},
			}}
			frame, err := AppendResponse(nil, v, page, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			decodeBothWays(t, v, frame[HeaderSize:])
		}
	}
}

// A body cut at every byte ends both ways alike.
func TestFastEventsCutEverywhere(t *testing.T) {
	for _, v := range []Version{V2, V3} {
		for _, e := range eventShapes() {
			if len(e.Value) > 256 {
				continue
			}
			page := &msg.ReadResponse{Batches: []msg.Batch{{Version: 1, Events: []msg.Event{e, e}}}}
			frame, err := AppendResponse(nil, v, page, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			body := frame[HeaderSize:]
			for n := range body {
				decodeBothWays(t, v, body[:n:n])
			}
		}
	}
}

// FuzzFastEvents holds the fast readers equal to the field list, whatever the body,
// and cut at every byte.
func FuzzFastEvents(f *testing.F) {
	for i, e := range eventShapes() {
		if len(e.Value) > 300 || i%7 != 0 {
			continue
		}
		page := &msg.ReadResponse{Batches: []msg.Batch{{Version: 1, Events: []msg.Event{e, {Major: 1}, e}}, {Version: 2}}}
		for _, v := range []Version{V2, V3} {
			frame, err := AppendResponse(nil, v, page, nil, 0)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(v == V3, frame[HeaderSize:])
		}
	}
	for _, unusual := range []string{
		"93c09195010000c0000191970100c0000a00c40141c0",                         // no iv field
		"93c091950100c00091880001010102c003040a0500060007a14108c0c0",           // an event in map form
		"93c091950100c00091980100c0000a00dc0003010203" + "c0c0",                // a payload as an array
		"93c091950100c00091980100c0000a00a141dc000c010101010101010101010101c0", // an iv as an array
		"93c091950100c00091dc00080100c0000a00c40141c0c0",                       // a long array header
		"93c091950100c00091980100c0d1000a0a00c40141c0c0",                       // signed integers
	} {
		body, err := hex.DecodeString(unusual)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(true, body)
	}
	f.Fuzz(func(t *testing.T, v3 bool, body []byte) {
		v := V2
		if v3 {
			v = V3
		}
		decodeBothWays(t, v, body)
		if len(body) < 600 {
			for n := range body {
				decodeBothWays(t, v, body[:n:n])
			}
		}
	})
}
