package shard_test

import (
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest/internal/shard"
	"github.com/celeriant/celeriant-go/msg"
)

// graveyard holds, in log order: 1 with a1 a2; 2, 3, 4 with two batches each,
// all three deleted (fresh, for good, to be continued); nothing behind.
func graveyard(t *testing.T, quirks bool) *node {
	n := newNode(t, shard.Options{Quirks: quirks})
	for aggregate := range uint64(4) {
		n.add(aggregate+1, 1)
		n.add(aggregate+1, 2)
	}
	n.do(n.delete(2, true, false))
	n.do(n.delete(3, false, false))
	n.do(n.delete(4, true, true))
	return n
}

// Section 4.6: looking for an aggregate whose newest record is older than the
// tombstones makes ghosts of the deleted ones.
func TestGhosts(t *testing.T) {
	n := graveyard(t, true)
	n.Restart()
	expect(t, "old aggregate", n.readFrom(1, 1), "1:1 2:2 ")
	for aggregate := uint64(2); aggregate <= 4; aggregate++ {
		expect(t, "ghost's details", n.state(aggregate), "1-2/2")
		expect(t, "ghost's batches", n.readFrom(aggregate, 1), "1:1 2:2 ")
		expect(t, "ghost, from 2", n.readFrom(aggregate, 2), "2:2 ")
		expect(t, "writers know better: trim", onWire(n.trim(aggregate, 1)), `3000 {}`)
		expect(t, "writers know better: delete", onWire(n.delete(aggregate, true, true)), `4000 {}`)
		list := n.aggregates(t)
		if !list[aggregate].Deleted {
			t.Errorf("list of %d: %+v, want deleted", aggregate, list[aggregate])
		}
	}
	if v := n.add(2, 9); v != 1 {
		t.Errorf("fresh recreation of a ghost has version %d", v)
	}
	expect(t, "details after it, flags gone", n.state(2), "1-2/2")
	expect(t, "only the new life", n.readFrom(2, 1), "1:9 ")
	if v := n.add(4, 9); v != 3 {
		t.Errorf("continuation of a ghost has version %d", v)
	}
	expect(t, "continued", n.readFrom(4, 1), "1:1 2:2 3:9 ")
	_, no := n.write(msg.AggregateWrite{Key: key(3), Events: events(9)})
	expect(t, "deleted for good", onWire(no), `2006 {}`)
	n.do(n.delete(1, true, false))
	expect(t, "a delete after the restart is seen", n.readFrom(1, 1), `1001 {}`)
}

// Section 4.6: each search begins at the end of the log, so a tombstone one
// search passed by is found by the next that looks for it.
func TestTombstonesFoundInTime(t *testing.T) {
	n := graveyard(t, true)
	n.Restart()
	expect(t, "oldest tombstone first", n.state(2), "0-2/2 dead recreate")
	expect(t, "passed by", n.state(4), "0-2/2 dead recreate continue")
	expect(t, "passed by, read", n.readFrom(3, 1), `1001 {}`)
	n.readFrom(1, 1)
	expect(t, "known before the search", n.state(2), "0-2/2 dead recreate")
}

// A search remembers only what lies behind the aggregate it looks for.
func TestSearchStops(t *testing.T) {
	n := graveyard(t, true)
	n.add(5, 1)
	n.Restart()
	expect(t, "newest first", n.readFrom(5, 1), "1:1 ")
	expect(t, "missing makes no search", n.readFrom(99, 1), `1001 {}`)
	expect(t, "not reached", n.state(3), "0-2/2 dead")
}

// Section 4.6: a trim is forgotten the same way, until a batch that carries
// the floor is written.
func TestForgottenTrim(t *testing.T) {
	n := newNode(t, shard.Options{Quirks: true})
	n.add(1, 1)
	n.add(2, 1)
	n.add(2, 2)
	n.do(n.trim(2, 2))
	n.Restart()
	n.readFrom(1, 1)
	expect(t, "forgotten", n.readFrom(2, 1), "1:1 2:2 ")
	expect(t, "writers remember", onWire(n.trim(2, 2)), "ok")
	expect(t, "no new trim, no change", n.state(2), "1-2/2")
	n.add(2, 3)
	expect(t, "remembered", n.readFrom(2, 1), `1000 {"requested":1,"minimum_available":2}`)
	n.Restart()
	n.readFrom(1, 1)
	expect(t, "a later batch carries the floor", n.state(2), "2-3/3")
}

// A trim after the restart is not forgotten, whether or not anyone had looked
// for its aggregate before.
func TestTrimAfterRestart(t *testing.T) {
	n := newNode(t, shard.Options{Quirks: true})
	n.add(1, 1)
	n.add(2, 1)
	n.add(2, 2)
	n.Restart()
	n.do(n.trim(2, 2))
	n.readFrom(1, 1)
	expect(t, "read", n.readFrom(2, 1), `1000 {"requested":1,"minimum_available":2}`)
	d, _ := n.Details(&msg.DetailsRequest{Key: key(2)})
	if d.LastClientID != id(writer) {
		t.Errorf("a trim while the node runs is not the last change: %+v", d)
	}
}

// Aggregates written by one request are remembered one by one.
func TestGhostOfTheSameRequest(t *testing.T) {
	n := newNode(t, shard.Options{Quirks: true})
	_, no := n.write(msg.AggregateWrite{Key: key(1), Events: events(1)},
		msg.AggregateWrite{Key: key(2), Events: events(1)})
	n.do(no)
	n.do(n.delete(2, true, true))
	n.Restart()
	n.readFrom(1, 1)
	expect(t, "ghost", n.readFrom(2, 1), "1:1 ")
}

// Section 4.5: a write is enough to know an aggregate after a restart; flags
// of before are gone all the same.
func TestWriteAfterRestart(t *testing.T) {
	n := newNode(t, shard.Options{Quirks: true})
	n.add(1, 1)
	n.do(n.delete(1, true, true))
	n.add(1, 2)
	n.Restart()
	n.add(1, 3)
	expect(t, "details", n.state(1), "1-3/3")
	expect(t, "read", n.readFrom(1, 1), "1:1 2:2 3:3 ")
}

// Section 4.5: after a restart the flags are gone and a trim is the last change.
func TestDetailsAfterRestart(t *testing.T) {
	n := newNode(t, shard.Options{Quirks: true})
	n.add(1, 1)
	n.add(1, 2)
	n.do(n.delete(1, true, true))
	n.add(1, 3)
	n.do(n.trim(1, 2))
	expect(t, "before", n.state(1), "2-3/3 recreate continue")
	n.Restart()
	expect(t, "after", n.state(1), "2-3/3")
	d, _ := n.Details(&msg.DetailsRequest{Key: key(1)})
	if d.LastClientID != id(5) || d.LastServerTimestamp != n.clock {
		t.Errorf("the trim is the last change: %+v", d)
	}
}

// Section 4.3, last row, and the paragraph on lives: the counter goes on from
// the newest batch, and a read from 1 runs into the earlier life.
func TestFreshLifeAfterRestart(t *testing.T) {
	for _, tt := range []struct {
		quirks      bool
		state, read string
		next        uint64
	}{
		{true, "1-1/1", "1:1 2:2 3:3 1:11 ", 2},
		{false, "1-3/3 recreate", "1:11 ", 4},
	} {
		n := newNode(t, shard.Options{Quirks: tt.quirks})
		for seq := range uint64(3) {
			n.add(1, seq+1)
		}
		n.do(n.delete(1, true, false))
		n.add(1, 11)
		n.Restart()
		expect(t, "details", n.state(1), tt.state)
		expect(t, "read", n.readFrom(1, 1), tt.read)
		if v := n.add(1, 12); v != tt.next {
			t.Errorf("quirks %v: next version %d, want %d", tt.quirks, v, tt.next)
		}
	}
}

// Section 3.3: after a cold start the floor is that of the client's latest batch.
func TestFloorsAfterRestart(t *testing.T) {
	for _, tt := range []struct {
		quirks bool
		want   string
	}{
		{true, "ok"},
		{false, `2002 {"last_client_seq":9,"attempted_client_seq":5}`},
	} {
		n := newNode(t, shard.Options{Quirks: tt.quirks})
		n.add(1, 9)
		n.add(1, 4)
		n.Restart()
		_, no := n.write(msg.AggregateWrite{Key: key(1), Events: events(4), EnforceIdempotency: true, DenyCreate: true})
		if no == nil {
			t.Errorf("quirks %v: the floor is gone", tt.quirks)
		}
		_, no = n.write(msg.AggregateWrite{Key: key(1), Events: events(5), EnforceIdempotency: true, DenyCreate: true})
		expect(t, "between the latest and the highest", onWire(no), tt.want)
	}
}

// Without quirks a restart changes nothing.
func TestRestartWithoutQuirks(t *testing.T) {
	n := graveyard(t, false)
	n.do(n.trim(1, 2))
	n.Restart()
	expect(t, "trimmed", n.readFrom(1, 1), `1000 {"requested":1,"minimum_available":2}`)
	for aggregate := uint64(2); aggregate <= 4; aggregate++ {
		expect(t, "deleted", n.readFrom(aggregate, 1), `1001 {}`)
	}
	n.add(2, 3)
	n.Restart()
	expect(t, "flags stay", n.state(2), "1-2/2 recreate")
	expect(t, "one life", n.readFrom(2, 1), "1:3 ")
}

// A restart keeps what was appended and not committed apart, so that it can
// still be committed or discarded.
func TestRestartWithTail(t *testing.T) {
	both(t, func(t *testing.T, quirks bool) {
		n := newNode(t, shard.Options{Quirks: quirks})
		n.add(1, 1)
		req := &msg.WriteRequest{ClientID: id(writer), Writes: []msg.AggregateWrite{{Key: key(1), Events: events(2), DenyCreate: true}}}
		for range 2 {
			if _, no := n.Write(req, 9); no != nil {
				t.Fatal(no)
			}
		}
		n.Restart()
		if n.Tail() != 3 || n.Committed() != 1 {
			t.Fatalf("tail %d, committed %d", n.Tail(), n.Committed())
		}
		expect(t, "hidden", n.readFrom(1, 1), "1:1 ")
		if err := n.TruncateTo(2); err != nil {
			t.Fatal(err)
		}
		n.Commit(2)
		expect(t, "half of it committed", n.readFrom(1, 1), "1:1 2:2 ")
		if n.add(1, 5) != 3 {
			t.Error("the discarded version is not given again")
		}
	})
}
