package shard_test

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest/internal/shard"
	"github.com/celeriant/celeriant-go/msg"
)

// populated holds: 1 live at version 2 (client sequences 1, 5), 2 deleted for good at
// version 1, 3 deleted but recreatable at version 2. 9 never existed.
func populated(t *testing.T, quirks bool) *node {
	n := newNode(t, shard.Options{Quirks: quirks})
	n.add(1, 1)
	n.add(1, 5)
	n.add(2, 1)
	n.do(n.delete(2, false, true))
	n.add(3, 1)
	n.add(3, 2)
	n.do(n.delete(3, true, false))
	return n
}

// Section 3.1: of several things wrong the earlier check answers.
func TestWriteChecks(t *testing.T) {
	zeroType := []msg.Event{{ClientSeq: 3, Major: 1}, {ClientSeq: 4, Major: 0}, {ClientSeq: 5, Major: 0}}
	tests := []struct {
		name string
		w    msg.AggregateWrite
		want string
	}{
		{"no events, even on a missing aggregate", msg.AggregateWrite{Key: key(9), DenyCreate: true}, `2000 {}`},
		{"type 0 names the first offender", msg.AggregateWrite{Key: key(9), Events: zeroType, DenyCreate: true}, `2001 {"client_seq":4}`},
		{"type 0 before deleted for good", msg.AggregateWrite{Key: key(2), Events: zeroType, DenyCreate: true}, `2001 {"client_seq":4}`},
		{"missing", msg.AggregateWrite{Key: key(9), Events: events(1), DenyCreate: true}, `2005 {}`},
		{"missing before guard", msg.AggregateWrite{Key: key(9), Events: events(1), ExpectedVersion: msg.Some[uint64](5), DenyCreate: true}, `2005 {}`},
		{"guard on a missing one counts from 0", msg.AggregateWrite{Key: key(9), Events: events(1), ExpectedVersion: msg.Some[uint64](5)},
			`2003 {"expected_version":5,"current_aggregate_version":0}`},
		{"deleted for good, with the right version", msg.AggregateWrite{Key: key(2), Events: events(9), ExpectedVersion: msg.Some[uint64](1)}, `2006 {}`},
		{"guard 0 on a deleted one", msg.AggregateWrite{Key: key(3), Events: events(9), ExpectedVersion: msg.Some[uint64](0)},
			`2003 {"expected_version":0,"current_aggregate_version":2}`},
		{"create-only on a live one", msg.AggregateWrite{Key: key(1), Events: events(9), ExpectedVersion: msg.Some[uint64](0)},
			`2003 {"expected_version":0,"current_aggregate_version":2}`},
		{"guard before idempotency", msg.AggregateWrite{Key: key(1), Events: events(1), ExpectedVersion: msg.Some[uint64](1), EnforceIdempotency: true, DenyCreate: true},
			`2003 {"expected_version":1,"current_aggregate_version":2}`},
		{"idempotency compares the lowest sequence", msg.AggregateWrite{Key: key(1), Events: events(9, 5, 8), EnforceIdempotency: true, DenyCreate: true},
			`2002 {"last_client_seq":5,"attempted_client_seq":5}`},
		{"floors survive a delete", msg.AggregateWrite{Key: key(3), Events: events(2), EnforceIdempotency: true, DenyCreate: true},
			`2002 {"last_client_seq":2,"attempted_client_seq":2}`},
		{"recreation needs no permission to create", msg.AggregateWrite{Key: key(3), Events: events(3), DenyCreate: true}, "ok"},
		{"recreation guarded by the old version", msg.AggregateWrite{Key: key(3), Events: events(3), ExpectedVersion: msg.Some[uint64](2), DenyCreate: true}, "ok"},
		{"create-only on a missing one", msg.AggregateWrite{Key: key(9), Events: events(1), ExpectedVersion: msg.Some[uint64](0)}, "ok"},
		{"nothing asked, duplicate accepted", msg.AggregateWrite{Key: key(1), Events: events(1), DenyCreate: true}, "ok"},
	}
	both(t, func(t *testing.T, quirks bool) {
		for _, tt := range tests {
			n := populated(t, quirks)
			before := n.Tail()
			_, no := n.write(tt.w)
			expect(t, tt.name, onWire(no), tt.want)
			if no != nil && n.Tail() != before {
				t.Errorf("%s: refused, but appended", tt.name)
			}
		}
	})
}

// Section 3.1: shapes are looked at in all aggregates before any state is,
// and a failure in one aggregate leaves none changed.
func TestWriteIsAtomic(t *testing.T) {
	good := msg.AggregateWrite{Key: key(1), Events: events(6), DenyCreate: true}
	for name, bad := range map[string]msg.AggregateWrite{
		"missing":  {Key: key(9), Events: events(1), DenyCreate: true},
		"guard":    {Key: key(3), Events: events(9), ExpectedVersion: msg.Some[uint64](9)},
		"no event": {Key: key(2)},
	} {
		for _, writes := range [][]msg.AggregateWrite{{good, bad}, {bad, good}} {
			n := populated(t, false)
			if _, no := n.write(writes...); no == nil {
				t.Errorf("%s: accepted", name)
			}
			expect(t, name, n.state(1), "1-2/2")
		}
	}
	n := populated(t, false)
	_, no := n.write(msg.AggregateWrite{Key: key(9), Events: events(1), DenyCreate: true}, msg.AggregateWrite{Key: key(1), DenyCreate: true})
	expect(t, "shape of the second before state of the first", onWire(no), `2000 {}`)
	_, no = n.write()
	expect(t, "nothing to write", onWire(no), `2000 {}`)
}

// Section 3.1: which of several errors is told is left to chance.
func TestOrderOfChecksIsShuffled(t *testing.T) {
	seen := map[string]bool{}
	n := newNode(t, shard.Options{Rand: seeded(1)})
	for range 50 {
		_, no := n.write(msg.AggregateWrite{Key: key(1), Events: events(1), DenyCreate: true},
			msg.AggregateWrite{Key: key(2), Events: events(1), ExpectedVersion: msg.Some[uint64](4)})
		seen[onWire(no)] = true
	}
	if len(seen) != 2 {
		t.Errorf("50 tries gave %v", seen)
	}
}

// Section 3.2: one batch per aggregate, one time for all, event positions
// assigned, everything else as sent and copied.
func TestWhatIsWritten(t *testing.T) {
	n := newNode(t, shard.Options{})
	value := []byte("payload")
	sent := []msg.Event{
		{ClientSeq: 1, EventSeq: 77, Major: 1, Value: value, EventID: msg.Some(id(0))},
		{ClientSeq: ^uint64(0), Timestamp: ^uint64(0), Major: ^uint64(0), Minor: ^uint64(0), IV: msg.Some(msg.IV{1, 2})},
		{ClientSeq: 0, Major: 2, Value: []byte{}},
	}
	resp, no := n.Write(&msg.WriteRequest{
		Correlated: msg.Correlated{CorrelationID: msg.Some(id(42))},
		ClientID:   id(3), UserID: msg.Some(id(4)),
		Writes: []msg.AggregateWrite{
			{Key: key(1), Events: events(1)}, // replaced by the last of its key
			{Key: key(2), Events: events(1, 2)},
			{Key: key(1), Events: sent},
		},
	}, 500)
	n.do(no)
	if resp.CorrelationID != msg.Some(id(42)) || resp.MaxVersion.Set {
		t.Errorf("several aggregates answer no version: %+v", resp)
	}
	n.Commit(n.Tail())
	copy(value, "altered")
	r, _, _ := n.Read(&msg.ReadRequest{Key: key(1), Filters: msg.ReadFilters{From: 1}})
	want := msg.Batch{Version: 1, ClientID: id(3), UserID: msg.Some(id(4)), ServerTimestamp: 500, Events: []msg.Event{
		{ClientSeq: 1, EventSeq: 1, Major: 1, Value: []byte("payload"), EventID: msg.Some(id(0))},
		{ClientSeq: ^uint64(0), EventSeq: 2, Timestamp: ^uint64(0), Major: ^uint64(0), Minor: ^uint64(0), Value: []byte{}, IV: msg.Some(msg.IV{1, 2})},
		{ClientSeq: 0, EventSeq: 3, Major: 2, Value: []byte{}},
	}}
	if len(r.Batches) != 1 || !reflect.DeepEqual(r.Batches[0], want) {
		t.Errorf("\n got %+v\nwant %+v", r.Batches, want)
	}
	if sent[0].EventSeq != 77 || !bytes.Equal(sent[0].Value, value) {
		t.Error("the request was changed")
	}
	if got := n.add(1, 9); got != 2 {
		t.Errorf("one aggregate answers its version: %d, want 2", got)
	}
	expect(t, "positions go on", n.state(1), "1-2/4")
	expect(t, "the other batch of the request", n.readFrom(2, 1), "1:1 ")
}

// Section 3.3.
func TestFloors(t *testing.T) {
	type step struct {
		client  uint64
		enforce bool
		seqs    []uint64
		want    string
	}
	both(t, func(t *testing.T, quirks bool) {
		n := newNode(t, shard.Options{Quirks: quirks})
		for i, s := range []step{
			{1, true, []uint64{5, 6}, "ok"},
			{1, true, []uint64{6, 7}, `2002 {"last_client_seq":6,"attempted_client_seq":6}`},
			{2, true, []uint64{1}, "ok"}, // another client has its own
			{1, false, []uint64{2}, "ok"},
			{1, true, []uint64{4}, `2002 {"last_client_seq":6,"attempted_client_seq":4}`}, // not lowered
			{1, true, []uint64{7}, "ok"},
			{3, false, []uint64{9}, "ok"}, // recorded though not enforced
			{3, true, []uint64{9}, `2002 {"last_client_seq":9,"attempted_client_seq":9}`},
			{4, true, []uint64{0}, "ok"}, // a stored 0 is none
			{4, true, []uint64{0}, "ok"},
			{4, true, []uint64{1}, "ok"},
			{4, true, []uint64{0}, `2002 {"last_client_seq":1,"attempted_client_seq":0}`},
		} {
			_, no := n.writeAs(s.client, msg.AggregateWrite{Key: key(1), Events: events(s.seqs...), EnforceIdempotency: s.enforce})
			if onWire(no) != s.want {
				t.Errorf("step %d: got %v, want %v", i, onWire(no), s.want)
			}
		}
		for _, end := range []func(){
			func() { n.do(n.trim(1, 3)) },
			func() { n.do(n.delete(1, true, true)) },
			func() { n.add(1, 100) },
			func() { n.do(n.delete(1, true, false)) },
			func() { n.add(1, 101) },
		} {
			end()
			_, no := n.writeAs(3, msg.AggregateWrite{Key: key(1), Events: events(9), EnforceIdempotency: true, DenyCreate: true})
			expect(t, "floor survives", onWire(no), `2002 {"last_client_seq":9,"attempted_client_seq":9}`)
		}
	})
}

// Section 3.3: a duplicate of what is appended but not committed is in flight;
// that holds for client sequence 0 too.
func TestFloorInFlight(t *testing.T) {
	for _, tt := range []struct {
		seq              uint64
		flying, onGround string
	}{
		{4, `2013 {"last_client_seq":4,"attempted_client_seq":4}`, `2002 {"last_client_seq":4,"attempted_client_seq":4}`},
		{0, `2013 {"last_client_seq":0,"attempted_client_seq":0}`, "ok"},
	} {
		s := shard.New(shard.Options{})
		req := &msg.WriteRequest{ClientID: id(1), Writes: []msg.AggregateWrite{
			{Key: key(1), Events: events(tt.seq), EnforceIdempotency: true}}}
		_, no := s.Write(req, 1)
		expect(t, "first", onWire(no), "ok")
		_, no = s.Write(req, 2)
		expect(t, "in flight", onWire(no), tt.flying)
		s.Commit(s.Tail())
		_, no = s.Write(req, 3)
		expect(t, "committed", onWire(no), tt.onGround)
	}
}

// Section 3.2: what does not fit a log segment is refused and changes nothing.
func TestWriteLargerThanASegment(t *testing.T) {
	n := newNode(t, shard.Options{SegmentBytes: 1000})
	_, no := n.write(msg.AggregateWrite{Key: key(1), Events: []msg.Event{{Major: 1, Value: make([]byte, 1000)}}})
	expect(t, "write", onWire(no), `2008 {"preallocate_bytes":1000}`)
	expect(t, "details", n.state(1), `7001 {}`)
	if n.add(1, 1) != 1 {
		t.Error("the next write does not begin at 1")
	}
}
