package shard_test

import (
	"fmt"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest/internal/shard"
	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// filtered holds six batches: versions 1 3 5 by client 1, 2 4 6 by client 2;
// user 5 on 3 and 6; even ones have a second event of type 7 with an early
// timestamp. Server time is 100 × version, client sequences 10 × version (+1).
func filtered(t *testing.T, quirks bool) *node {
	n := newNode(t, shard.Options{Quirks: quirks})
	for v := range uint64(6) {
		v++
		list := []msg.Event{{ClientSeq: 10 * v, Timestamp: 5000 + v, Major: 1 + v%3, Minor: v}}
		client := uint64(1)
		if v%2 == 0 {
			client = 2
			list = append(list, msg.Event{ClientSeq: 10*v + 1, Timestamp: v, Major: 7})
		}
		user := msg.None[msg.ID]()
		if v%3 == 0 {
			user = msg.Some(id(5))
		}
		_, no := n.Write(&msg.WriteRequest{ClientID: id(client), UserID: user,
			Writes: []msg.AggregateWrite{{Key: key(1), Events: list}}}, 100*v)
		n.do(no)
	}
	n.Commit(n.Tail())
	return n
}

// Section 5, row by row. Batches are shown as version:first client sequence.
func TestFilters(t *testing.T) {
	some := msg.Some[uint64]
	who := func(n uint64) msg.Opt[msg.ID] { return msg.Some(id(n)) }
	const all = "1:10 2:20 3:30 4:40 5:50 6:60 "
	tests := []struct {
		name string
		f    msg.ReadFilters
		want string
	}{
		{"none", msg.ReadFilters{From: 1}, all},
		{"from 0", msg.ReadFilters{From: 0}, `1000 {"requested":0,"minimum_available":1}`},
		{"from and to, inclusive", msg.ReadFilters{From: 2, To: some(4)}, "2:20 3:30 4:40 "},
		{"to beyond the end", msg.ReadFilters{From: 5, To: some(99)}, "5:50 6:60 "},
		{"past the end", msg.ReadFilters{From: 7}, ""},
		{"to below from", msg.ReadFilters{From: 3, To: some(2)}, ""},
		{"to 0 is a bound", msg.ReadFilters{From: 1, To: some(0)}, ""},
		{"types", msg.ReadFilters{From: 1, EventTypes: []uint64{7, 3}}, "2:20 4:41 5:50 6:61 "},
		{"types, empty", msg.ReadFilters{From: 1, EventTypes: []uint64{}}, all},
		{"types, nothing left", msg.ReadFilters{From: 1, EventTypes: []uint64{99}}, ""},
		{"exclude client", msg.ReadFilters{From: 1, ExcludeClientID: who(1)}, "2:20 4:40 6:60 "},
		{"include client", msg.ReadFilters{From: 1, IncludeClientID: who(1)}, "1:10 3:30 5:50 "},
		{"exclude wins", msg.ReadFilters{From: 1, IncludeClientID: who(1), ExcludeClientID: who(1)}, ""},
		{"exclude user keeps those without", msg.ReadFilters{From: 1, ExcludeUserID: who(5)}, "1:10 2:20 4:40 5:50 "},
		{"exclude user 0 keeps those without", msg.ReadFilters{From: 1, ExcludeUserID: who(0)}, all},
		{"include user", msg.ReadFilters{From: 1, IncludeUserID: who(5)}, "3:30 6:60 "},
		{"include user 0 is not 'without'", msg.ReadFilters{From: 1, IncludeUserID: who(0)}, ""},
		{"server time, both ends", msg.ReadFilters{From: 1, MinServerTimestamp: some(200), MaxServerTimestamp: some(300)}, "2:20 3:30 "},
		{"server time, just inside", msg.ReadFilters{From: 1, MinServerTimestamp: some(201), MaxServerTimestamp: some(299)}, ""},
		{"client sequence", msg.ReadFilters{From: 1, MinClientSeq: some(21), MaxClientSeq: some(40)}, "2:21 3:30 4:40 "},
		{"client sequence between a batch's events", msg.ReadFilters{From: 1, MinClientSeq: some(31), MaxClientSeq: some(39)}, ""},
		{"event time", msg.ReadFilters{From: 1, MinEventTimestamp: some(4), MaxEventTimestamp: some(5001)}, "1:10 4:41 6:61 "},
		{"event position", msg.ReadFilters{From: 1, MinEventSeq: some(3), MaxEventSeq: some(5)}, "2:21 3:30 4:40 "},
		{"all ANDed", msg.ReadFilters{From: 3, To: some(5), EventTypes: []uint64{7}, IncludeClientID: who(2)}, "4:41 "},
		{"event filters apply to one event at a time", msg.ReadFilters{From: 1, EventTypes: []uint64{7}, MinEventTimestamp: some(5000)}, ""},
	}
	both(t, func(t *testing.T, quirks bool) {
		n := filtered(t, quirks)
		for _, tt := range tests {
			expect(t, tt.name, n.read(1, tt.f), tt.want)
		}
	})
}

// Reads share the shard's memory; filters must not write to it.
func TestFiltersLeaveTheLogAlone(t *testing.T) {
	n := filtered(t, false)
	n.read(1, msg.ReadFilters{From: 1, EventTypes: []uint64{7}})
	resp, _, _ := n.Read(&msg.ReadRequest{Key: key(1), Filters: msg.ReadFilters{From: 2, To: msg.Some[uint64](2)}})
	if e := resp.Batches[0].Events; len(e) != 2 || e[0].ClientSeq != 20 || e[1].ClientSeq != 21 {
		t.Errorf("%+v", e)
	}
}

// sized holds batches of one event with these payload sizes, by client 1 and
// 2 in turn.
func sized(t *testing.T, o shard.Options, sizes ...int) *node {
	n := newNode(t, o)
	for i, size := range sizes {
		_, no := n.writeAs(uint64(1+i%2), msg.AggregateWrite{Key: key(1),
			Events: []msg.Event{{ClientSeq: uint64(i + 1), Major: 1, Value: make([]byte, size)}}})
		n.do(no)
	}
	return n
}

// Section 5: pages count stored sizes of what passes the batch-level filters,
// always take one, and point at the next that passes.
func TestPages(t *testing.T) {
	sizes := []int{700, 700, 700, 700, 700, 700, 700, 700, 700, 700, 700}
	n := sized(t, shard.Options{Quirks: true, MaxResponseSize: 4096}, sizes...)
	for _, tt := range []struct {
		name string
		f    msg.ReadFilters
		want string
	}{
		{"five of 770 bytes", msg.ReadFilters{From: 1}, "1:1 2:2 3:3 4:4 5:5 →6 "},
		{"second", msg.ReadFilters{From: 6}, "6:6 7:7 8:8 9:9 10:10 →11 "},
		{"last", msg.ReadFilters{From: 11}, "11:11 "},
		{"exactly full is no reason for a cursor", msg.ReadFilters{From: 7}, "7:7 8:8 9:9 10:10 11:11 "},
		{"a bound ends it", msg.ReadFilters{From: 1, To: msg.Some[uint64](5)}, "1:1 2:2 3:3 4:4 5:5 "},
		{"next passes the batch-level filters", msg.ReadFilters{From: 1, IncludeClientID: msg.Some(id(1))}, "1:1 3:3 5:5 7:7 9:9 →11 "},
		{"event positions out of reach cost nothing", msg.ReadFilters{From: 1, MinEventSeq: msg.Some[uint64](10)}, "10:10 11:11 "},
	} {
		expect(t, tt.name, n.read(1, tt.f), tt.want)
	}
}

// A page may be filled to the last byte.
func TestPageExactlyFull(t *testing.T) {
	n := sized(t, shard.Options{Quirks: true, MaxResponseSize: 2 * 770}, 700, 700, 700)
	expect(t, "two of 770 bytes", n.readFrom(1, 1), "1:1 2:2 →3 ")
	n = sized(t, shard.Options{Quirks: true, MaxResponseSize: 2*770 - 1}, 700, 700, 700)
	expect(t, "one byte short", n.readFrom(1, 1), "1:1 →2 ")
}

// Types are looked at on the batch level too: batches without a listed type
// cost nothing and are not where the next page begins.
func TestPagesByType(t *testing.T) {
	n := newNode(t, shard.Options{Quirks: true, MaxResponseSize: 2000})
	for i := range uint64(6) {
		_, no := n.write(msg.AggregateWrite{Key: key(1),
			Events: []msg.Event{{ClientSeq: i + 1, Major: 1 + i%2, Value: make([]byte, 700)}}})
		n.do(no)
	}
	expect(t, "odd versions", n.read(1, msg.ReadFilters{From: 1, EventTypes: []uint64{1}}), "1:1 3:3 →5 ")
}

// Section 5: batches whose events are all filtered away still cost, so a page
// may be empty and yet have a cursor.
func TestEmptyPageWithCursor(t *testing.T) {
	n := newNode(t, shard.Options{Quirks: true, MaxResponseSize: 1000})
	for range 3 {
		_, no := n.write(msg.AggregateWrite{Key: key(1), Events: []msg.Event{
			{ClientSeq: 1, Major: 1, Value: make([]byte, 300)}, {ClientSeq: 9, Major: 1, Value: make([]byte, 300)}}})
		n.do(no)
	}
	expect(t, "between the sequences", n.read(1, msg.ReadFilters{From: 1, MinClientSeq: msg.Some[uint64](4), MaxClientSeq: msg.Some[uint64](6)}), "→2 ")
}

// Section 5: the batch larger than the cap. The page before it points at it;
// it alone is silence or, without quirks, an error that names it; later ones are readable.
func TestBatchLargerThanTheCap(t *testing.T) {
	for _, tt := range []struct {
		quirks bool
		want   string
	}{
		{true, "silence"},
		{false, `1004 {"detail":"the batch of version 2 exceeds the maximum response size of 4096 bytes"}`},
	} {
		n := sized(t, shard.Options{Quirks: tt.quirks, MaxResponseSize: 4096}, 10, 5000, 10)
		expect(t, "before", n.readFrom(1, 1), "1:1 →2 ")
		expect(t, "it", n.readFrom(1, 2), tt.want)
		expect(t, "it, narrowed", n.read(1, msg.ReadFilters{From: 2, To: msg.Some[uint64](2)}), tt.want)
		expect(t, "behind", n.readFrom(1, 3), "3:3 ")
		expect(t, "filtered out", n.read(1, msg.ReadFilters{From: 2, IncludeClientID: msg.Some(id(1))}), "3:3 ")
	}
}

// A batch that fits the cap in one codec only: under quirks the encoder finds
// out, since the answer depends on the client's version; without, both count.
func TestBatchAtTheCap(t *testing.T) {
	for _, tt := range []struct {
		quirks bool
		want   string
	}{{true, "1:1 "}, {false, `1004 {"detail":"the batch of version 1 exceeds the maximum response size of 4096 bytes"}`}} {
		n := sized(t, shard.Options{Quirks: tt.quirks, MaxResponseSize: 4096}, 4096-110)
		expect(t, "at the cap", n.readFrom(1, 1), tt.want)
	}
}

// A large batch of which the filters leave little is answered.
func TestLargeBatchNarrowed(t *testing.T) {
	both(t, func(t *testing.T, quirks bool) {
		n := newNode(t, shard.Options{Quirks: quirks, MaxResponseSize: 4096})
		_, no := n.write(msg.AggregateWrite{Key: key(1), Events: []msg.Event{
			{ClientSeq: 1, Major: 1, Value: make([]byte, 5000)}, {ClientSeq: 2, Major: 2, Value: make([]byte, 10)}}})
		n.do(no)
		expect(t, "the small event", n.read(1, msg.ReadFilters{From: 1, EventTypes: []uint64{2}}), "1:2 ")
	})
}

// Without quirks a page fits the cap in both codecs, whatever its batches
// look like, and wastes little of it.
func TestPagesFitTheCap(t *testing.T) {
	const limit = 5000
	chance := seeded(3)
	n := newNode(t, shard.Options{MaxResponseSize: limit})
	for range 500 {
		var list []msg.Event
		for range 1 + chance.IntN(6) {
			e := msg.Event{ClientSeq: chance.Uint64() >> chance.IntN(64), Timestamp: chance.Uint64() >> chance.IntN(64), Major: 1 + chance.Uint64()>>chance.IntN(64)>>1,
				Minor: chance.Uint64() >> chance.IntN(64), Value: make([]byte, chance.IntN(80))}
			if chance.IntN(2) == 0 {
				e.EventID = msg.Some(id(1))
			}
			if chance.IntN(2) == 0 {
				e.IV = msg.Some(msg.IV{})
			}
			list = append(list, e)
		}
		req := &msg.WriteRequest{ClientID: id(1), Writes: []msg.AggregateWrite{{Key: key(1), Events: list}}}
		if chance.IntN(2) == 0 {
			req.UserID = msg.Some(id(2))
		}
		if _, no := n.Write(req, chance.Uint64()); no != nil {
			t.Fatal(no)
		}
	}
	n.Commit(n.Tail())
	req := &msg.ReadRequest{Correlated: msg.Correlated{CorrelationID: msg.Some(id(1))}, Key: key(1), Filters: msg.ReadFilters{From: 1}}
	seen := 0
	for {
		resp, _, no := n.Read(req)
		n.do(no)
		longest := 0
		for _, v := range []wire.Version{wire.V2, wire.V3} {
			frame, err := wire.AppendResponse(nil, v, resp, nil, limit)
			if err != nil {
				t.Fatalf("from %d, version %d: %v", req.Filters.From, v, err)
			}
			longest = max(longest, len(frame))
		}
		seen += len(resp.Batches)
		if !resp.NextVersion.Set {
			break
		}
		if longest < limit/2 {
			t.Errorf("from %d: %d batches fill only %d bytes", req.Filters.From, len(resp.Batches), longest)
		}
		req.Filters.From = resp.NextVersion.Value
	}
	if seen != 500 {
		t.Errorf("%d batches", seen)
	}
}

// Section 4.5 and 5: what never existed.
func TestMissing(t *testing.T) {
	both(t, func(t *testing.T, quirks bool) {
		n := newNode(t, shard.Options{Quirks: quirks})
		for _, from := range []uint64{0, 1, 9} {
			expect(t, "read", n.readFrom(1, from), `1001 {}`)
		}
		expect(t, "details", n.state(1), `7001 {}`)
	})
}

func ExampleShard() {
	s := shard.New(shard.Options{})
	key := msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(3)}
	_, refused := s.Write(&msg.WriteRequest{Writes: []msg.AggregateWrite{{
		Key: key, Events: []msg.Event{{ClientSeq: 1, Major: 1, Value: []byte("hello")}},
	}}}, 1700000000000)
	fmt.Println("refused:", refused != nil)

	_, _, no := s.Read(&msg.ReadRequest{Key: key, Filters: msg.ReadFilters{From: 1}})
	fmt.Println("before commit:", no)
	for _, n := range s.Commit(s.Tail()) {
		fmt.Println("watchers hear:", n.Operation, n.From, n.To)
	}
	resp, _, _ := s.Read(&msg.ReadRequest{Key: key, Filters: msg.ReadFilters{From: 1}})
	fmt.Printf("after: %d %s\n", resp.Batches[0].Version, resp.Batches[0].Events[0].Value)
	// Output:
	// refused: false
	// before commit: 1001 aggregate not found {}
	// watchers hear: create none none
	// watchers hear: write 1 1
	// after: 1 hello
}
