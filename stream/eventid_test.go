package stream_test

import (
	"math"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// Golden: users keep these ids outside, so they must stay the same in every release.
func TestEventIDGolden(t *testing.T) {
	id := msg.IDFromUint64
	two := []msg.Event{{}, {}}
	for _, c := range []struct {
		key    msg.Key
		anchor checkpoint.Anchor
		i      int
		want   string
	}{
		{msg.Key{Org: id(1), Type: id(2), Aggregate: id(3)},
			checkpoint.Anchor{ServerTimestamp: 1700000000123, EventSeq: 2, ClientID: id(4), Hash: 0x0123456789abcdef}, 0,
			"255445cd-60fa-59be-b059-5841e3e3b509"},
		{msg.Key{Org: id(1), Type: id(2), Aggregate: id(3)},
			checkpoint.Anchor{ServerTimestamp: 1700000000123, EventSeq: 2, ClientID: id(4), Hash: 0x0123456789abcdef}, 1,
			"cb8b9aaa-e195-516d-90b1-92d43d2a0ce6"},
		{msg.Key{Org: msg.IDFromUint64s(math.MaxUint64, math.MaxUint64), Aggregate: id(7)},
			checkpoint.Anchor{EventSeq: 1, Hash: math.MaxUint64}, 0,
			"072b1d2e-58e5-5228-bf24-6e3e1dbae26f"},
	} {
		change := stream.Change{Kind: stream.Batch, Key: c.key, Batch: msg.Batch{Events: two}, Cursor: checkpoint.Cursor{Anchor: c.anchor}}
		if got := change.EventID(c.i).String(); got != c.want {
			t.Errorf("%+v, event %d: %s, want %s", c.anchor, c.i, got, c.want)
		}
	}
}

// The writer's own id is kept; one that is made does not depend on who reads, and
// depends on everything that tells two events apart.
func TestEventIDIdentifiesTheEvent(t *testing.T) {
	own := msg.IDFromUint64(77)
	batch := msg.Batch{Version: 3, ClientID: msg.IDFromUint64(4), ServerTimestamp: 10, Events: []msg.Event{
		{EventSeq: 5, Major: 1, EventID: msg.Some(own)}, {EventSeq: 6, Major: 1, EventID: msg.Some(msg.ID{})}, {EventSeq: 7, Major: 1}, {EventSeq: 8, Major: 1},
	}}
	read := func(change func(*stream.Change)) stream.Change {
		c := stream.Change{Kind: stream.Batch, Key: msg.Key{Aggregate: msg.IDFromUint64(1)}, Batch: batch}
		if change != nil {
			change(&c)
		}
		c.Cursor = checkpoint.Cursor{Life: c.Cursor.Life, Version: c.Batch.Version, Anchor: checkpoint.AnchorOf(&c.Batch)}
		return c
	}
	first := read(nil)
	if first.EventID(0) != own || first.EventID(1) != (msg.ID{}) {
		t.Errorf("the writer's ids became %v and %v", first.EventID(0), first.EventID(1))
	}
	other := read(func(c *stream.Change) { c.Cursor.Life, c.Partition, c.Replay = 9, 4, true })
	if first.EventID(2) != other.EventID(2) {
		t.Error("two subscribers see two ids")
	}
	seen := map[msg.ID]string{first.EventID(2): "the event"}
	for name, c := range map[string]struct {
		change func(*stream.Change)
		i      int
	}{
		"the next event":      {nil, 3},
		"another aggregate":   {func(c *stream.Change) { c.Key.Aggregate = msg.IDFromUint64(2) }, 2},
		"another type":        {func(c *stream.Change) { c.Key.Type = msg.IDFromUint64(2) }, 2},
		"the next version":    {func(c *stream.Change) { c.Batch.Version = 4 }, 2},
		"the recreated batch": {func(c *stream.Change) { c.Batch.ServerTimestamp = 11 }, 2},
	} {
		changed := read(c.change)
		id := changed.EventID(c.i)
		if before, again := seen[id]; again {
			t.Errorf("%s has the id of %s", name, before)
		}
		seen[id] = name
		if id[6]>>4 != 5 || id[8]>>6 != 2 {
			t.Errorf("%v is no UUID of version 5", id)
		}
	}
}
