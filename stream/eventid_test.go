package stream_test

import (
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

const wantEventID = "48db70fd-f57e-5858-a2ec-d65ca656086a"

// An event without an id of its own has one that depends on its aggregate, batch and
// index alone, and is a UUID of version 5. The first one is part of the format.
//
//covers:g21
func TestEventIDs(t *testing.T) {
	change := func(key uint64, at uint64) *stream.Change {
		batch := msg.Batch{Version: 1, ServerTimestamp: at, Events: []msg.Event{{EventSeq: 1, Major: 1}, {EventSeq: 2, Major: 1}}}
		return &stream.Change{
			Kind: stream.Batch, Key: msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(key)}, Batch: batch,
			Cursor: checkpoint.Cursor{Version: 1, Anchor: checkpoint.AnchorOf(&batch)},
		}
	}
	seen := make(map[msg.ID]bool)
	for _, c := range []*stream.Change{change(1, 1), change(1, 2), change(2, 1)} {
		for i := range c.Batch.Events {
			id := c.EventID(i)
			if seen[id] || id[6]>>4 != 5 || id[8]>>6 != 2 {
				t.Errorf("%v: id %v", c, id)
			}
			seen[id] = true
		}
	}
	c := change(1, 1)
	again := c.Clone()
	again.Batch.Events[0].Value = []byte("another")
	if c.EventID(0) != again.EventID(0) || len(c.Batch.Events[0].Value) != 0 {
		t.Error("a copy has another id, or shares memory")
	}
	if got := c.EventID(0).String(); got != wantEventID {
		t.Errorf("the id of the first event is %s", got)
	}
	own := msg.IDFromUint64(77)
	c.Batch.Events[1].EventID = msg.Some(own)
	if c.EventID(1) != own {
		t.Error("the writer's own id is not taken")
	}
}
