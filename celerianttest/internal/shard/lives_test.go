package shard_test

import (
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest/internal/shard"
	"github.com/celeriant/celeriant-go/msg"
)

// Section 4.1: existence of every key before any guard, all or none.
func TestDelete(t *testing.T) {
	at := func(aggregate uint64, expected msg.Opt[uint64]) msg.AggregateDelete {
		return msg.AggregateDelete{Key: key(aggregate), AllowRecreate: true, ExpectedVersion: expected}
	}
	none, five := msg.None[uint64](), msg.Some[uint64](5)
	for _, tt := range []struct {
		name    string
		deletes []msg.AggregateDelete
		want    string
		live    string // details of aggregate 1 afterwards
	}{
		{"nothing", nil, `4001 {}`, "1-2/2"},
		{"missing, even with a guard", []msg.AggregateDelete{at(9, five)}, `4000 {}`, "1-2/2"},
		{"deleted for good", []msg.AggregateDelete{at(2, none)}, `4000 {}`, "1-2/2"},
		{"deleted, recreatable", []msg.AggregateDelete{at(3, none)}, `4000 {}`, "1-2/2"},
		{"existence of all before guards", []msg.AggregateDelete{at(1, five), at(9, none)}, `4000 {}`, "1-2/2"},
		{"guard", []msg.AggregateDelete{at(1, five)}, `4002 {"expected_version":5,"current_aggregate_version":2}`, "1-2/2"},
		{"one bad guard leaves all", []msg.AggregateDelete{at(1, none), at(4, five)}, `4002 {"expected_version":5,"current_aggregate_version":1}`, "1-2/2"},
		{"right guard", []msg.AggregateDelete{at(1, msg.Some[uint64](2))}, "ok", "0-2/2 dead recreate"},
		{"several", []msg.AggregateDelete{at(1, none), at(4, none)}, "ok", "0-2/2 dead recreate"},
		{"the last entry of a key counts", []msg.AggregateDelete{at(1, five), at(1, none)}, "ok", "0-2/2 dead recreate"},
	} {
		n := populated(t, false)
		n.add(4, 1)
		expect(t, tt.name, onWire(n.deleteAll(tt.deletes...)), tt.want)
		expect(t, tt.name, n.state(1), tt.live)
	}
}

// Sections 4.1, 4.5: what is left of a deleted aggregate.
func TestDeleted(t *testing.T) {
	n := newNode(t, shard.Options{})
	n.add(1, 1)
	n.add(1, 2)
	n.do(n.delete(1, true, false))
	for _, from := range []uint64{0, 1, 2, 3} {
		expect(t, "read", n.readFrom(1, from), `1001 {}`)
	}
	expect(t, "trim", onWire(n.trim(1, 1)), `3000 {}`)
	d, _ := n.Details(&msg.DetailsRequest{Key: key(1)})
	if d.MinVersion != 0 || d.LastClientID != id(8) || d.LastUserID != msg.Some(id(9)) || d.LastServerTimestamp != n.clock-1 {
		t.Errorf("details describe the tombstone: %+v", d)
	}
}

// Section 4.4.
func TestTrim(t *testing.T) {
	n := newNode(t, shard.Options{})
	expect(t, "missing", onWire(n.trim(1, 1)), `3000 {}`)
	for seq := range uint64(5) {
		n.add(1, seq+1)
	}
	for _, tt := range []struct {
		keepFrom uint64
		want     string
		appends  bool
		state    string
	}{
		{0, "ok", false, "1-5/5"},
		{1, "ok", false, "1-5/5"},
		{3, "ok", true, "3-5/5"},
		{3, "ok", false, "3-5/5"},
		{2, "ok", false, "3-5/5"},
		{6, `3004 {"requested":6,"max_aggregate_version":5}`, false, "3-5/5"},
		{5, "ok", true, "5-5/5"},
	} {
		before := n.Tail()
		expect(t, "trim", onWire(n.trim(1, tt.keepFrom)), tt.want)
		expect(t, "details", n.state(1), tt.state)
		if appended := n.Tail() > before; appended != tt.appends || appended != (len(n.heard) == 1) {
			t.Errorf("trim to %d: appended %v, heard %v", tt.keepFrom, appended, n.heard)
		}
	}
	expect(t, "below the floor", n.readFrom(1, 4), `1000 {"requested":4,"minimum_available":5}`)
	expect(t, "below the floor, whatever the end", n.read(1, msg.ReadFilters{From: 2, To: msg.Some[uint64](3)}), `1000 {"requested":2,"minimum_available":5}`)
	expect(t, "at the floor", n.readFrom(1, 5), "5:5 ")
	d, _ := n.Details(&msg.DetailsRequest{Key: key(1)})
	if d.LastClientID != id(writer) {
		t.Errorf("a trim does not count as the last change: %+v", d)
	}
	if n.add(1, 6) != 6 {
		t.Error("versions rewind after a trim")
	}
}

// mixed is life one a1 a2 a3 (client sequences 1 2 3), life two b1 b4 (11 12),
// continued by c5 (21): the example of section 4.3.
func mixed(t *testing.T, quirks bool) *node {
	n := newNode(t, shard.Options{Quirks: quirks})
	for seq := range uint64(3) {
		n.add(1, seq+1)
	}
	n.do(n.delete(1, true, false))
	n.add(1, 11)
	n.add(1, 12)
	n.do(n.delete(1, true, true))
	n.add(1, 21)
	return n
}

// Section 4.3: numbering of recreations is the same in both modes.
func TestRecreationNumbering(t *testing.T) {
	both(t, func(t *testing.T, quirks bool) {
		n := newNode(t, shard.Options{Quirks: quirks})
		n.add(1, 1, 2) // two events each
		n.add(1, 3, 4)
		n.add(1, 5, 6)
		n.do(n.delete(1, true, false))
		expect(t, "deleted", n.state(1), "0-3/6 dead recreate")
		if v := n.add(1, 7); v != 1 {
			t.Errorf("fresh life begins at %d", v)
		}
		expect(t, "high-water marks stay", n.state(1), "1-3/6 recreate")
		_, no := n.write(msg.AggregateWrite{Key: key(1), Events: events(8), ExpectedVersion: msg.Some[uint64](1), DenyCreate: true})
		expect(t, "guard 1", onWire(no), `2003 {"expected_version":1,"current_aggregate_version":3}`)
		resp, no := n.write(msg.AggregateWrite{Key: key(1), Events: events(8), ExpectedVersion: msg.Some[uint64](3), DenyCreate: true})
		n.do(no)
		if resp.MaxVersion != msg.Some[uint64](4) {
			t.Errorf("the second batch has version %v, want 4", resp.MaxVersion)
		}
		expect(t, "second write", n.state(1), "1-4/7 recreate")
		expect(t, "the gap shows nowhere", n.readFrom(1, 2), "4:8 ")
		expect(t, "up to the old version", n.read(1, msg.ReadFilters{From: 1, To: msg.Some[uint64](3)}), "1:7 ")

		n.do(n.delete(1, true, false))
		n.add(1, 9)
		n.do(n.delete(1, true, false))
		expect(t, "the mark outlives a life of one batch", n.state(1), "0-4/7 dead recreate")
		n.add(1, 10)
		if v := n.add(1, 11); v != 5 {
			t.Errorf("third life goes on at %d, want 5", v)
		}

		n.do(n.delete(1, true, true))
		expect(t, "deleted for continuation", n.state(1), "0-5/8 dead recreate continue")
		if v := n.add(1, 12); v != 6 {
			t.Errorf("a continuation goes on at %d, want 6", v)
		}
		expect(t, "continued", n.state(1), "1-6/9 recreate continue")
	})
}

// A fresh life whose first batch has more events than the old life ever had
// goes on from its own.
func TestFreshLifeOvertakesEventSeq(t *testing.T) {
	n := newNode(t, shard.Options{})
	n.add(1, 1)
	n.do(n.delete(1, true, false))
	n.add(1, 2, 3, 4)
	expect(t, "after the first", n.state(1), "1-1/3 recreate")
	n.add(1, 5)
	expect(t, "after the second", n.state(1), "1-2/4 recreate")
}

// Section 4.3, lives: under quirks a read from 1 runs into earlier lives once
// a continuation followed a fresh recreation; reads from 2 on never do, and
// without quirks nothing does.
func TestLives(t *testing.T) {
	quirky, plain := mixed(t, true), mixed(t, false)
	for _, tt := range []struct {
		from          uint64
		to            msg.Opt[uint64]
		quirky, plain string
	}{
		{1, msg.None[uint64](), "1:1 2:2 3:3 1:11 4:12 5:21 ", "1:11 4:12 5:21 "},
		{1, msg.Some[uint64](1), "1:1 1:11 ", "1:11 "},
		{1, msg.Some[uint64](2), "1:1 2:2 1:11 ", "1:11 "},
		{2, msg.None[uint64](), "4:12 5:21 ", "4:12 5:21 "},
		{2, msg.Some[uint64](3), "", ""},
		{4, msg.None[uint64](), "4:12 5:21 ", "4:12 5:21 "},
		{5, msg.None[uint64](), "5:21 ", "5:21 "},
		{6, msg.None[uint64](), "", ""},
	} {
		f := msg.ReadFilters{From: tt.from, To: tt.to}
		expect(t, "with quirks", quirky.read(1, f), tt.quirky)
		expect(t, "without", plain.read(1, f), tt.plain)
	}
	quirky.do(quirky.delete(1, true, false))
	quirky.add(1, 31)
	expect(t, "a new fresh life is alone again", quirky.readFrom(1, 1), "1:31 ")
}

// Section 4.3: paging through several lives may point back.
func TestLivesPaged(t *testing.T) {
	n := newNode(t, shard.Options{Quirks: true, MaxResponseSize: 300})
	for seq := range uint64(3) {
		n.add(1, seq+1)
	}
	n.do(n.delete(1, true, false))
	n.add(1, 11)
	n.do(n.delete(1, true, true))
	n.add(1, 21)
	expect(t, "first page", n.readFrom(1, 1), "1:1 2:2 3:3 1:11 →4 ")
	n = newNode(t, shard.Options{Quirks: true, MaxResponseSize: 220})
	for seq := range uint64(3) {
		n.add(1, seq+1)
	}
	n.do(n.delete(1, true, false))
	n.add(1, 11)
	n.do(n.delete(1, true, true))
	n.add(1, 21)
	expect(t, "pointing back", n.readFrom(1, 1), "1:1 2:2 3:3 →1 ")
}

// Section 4.3: what was trimmed reappears with a continuation under quirks,
// and stays gone without.
func TestTrimmedThenContinued(t *testing.T) {
	for _, tt := range []struct {
		quirks      bool
		state, read string
	}{
		{true, "1-4/4 recreate continue", "1:1 2:2 3:3 4:4 "},
		{false, "2-4/4 recreate continue", `1000 {"requested":1,"minimum_available":2}`},
	} {
		n := newNode(t, shard.Options{Quirks: tt.quirks})
		for seq := range uint64(3) {
			n.add(1, seq+1)
		}
		n.do(n.trim(1, 2))
		n.do(n.delete(1, true, true))
		n.add(1, 4)
		expect(t, "details", n.state(1), tt.state)
		expect(t, "read", n.readFrom(1, 1), tt.read)
		expect(t, "from the floor", n.readFrom(1, 2), "2:2 3:3 4:4 ")
	}
}

// A fresh life has a floor of its own.
func TestTrimmedThenFresh(t *testing.T) {
	both(t, func(t *testing.T, quirks bool) {
		n := newNode(t, shard.Options{Quirks: quirks})
		for seq := range uint64(3) {
			n.add(1, seq+1)
		}
		n.do(n.trim(1, 3))
		n.do(n.delete(1, true, false))
		n.add(1, 4)
		expect(t, "details", n.state(1), "1-3/3 recreate")
		n.add(1, 5)
		n.do(n.trim(1, 3))
		expect(t, "trimmed", n.readFrom(1, 1), `1000 {"requested":1,"minimum_available":3}`)
		expect(t, "read", n.readFrom(1, 3), "4:5 ")
	})
}
