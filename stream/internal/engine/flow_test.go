package engine_test

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// numbered are n aggregates.
func numbered(n int) []msg.Key {
	keys := make([]msg.Key, n)
	for i := range keys {
		binary.BigEndian.PutUint32(keys[i].Aggregate[:], uint32(i+1000))
	}
	return keys
}

// swamp has every aggregate written to, and lets the consumer take all it reads.
func (r *rig) swamp(keys []msg.Key) {
	frame := make([]msg.Notification, len(keys))
	for i, key := range keys {
		frame[i] = wrote(key, 1, 1)
	}
	r.frame(frame...)
	r.skip()
}

// drain answers reads until room is left for n lanes fewer than there are.
func (r *rig) drain(n int) {
	for want := r.e.Stats(r.now).Dirty - n; r.e.Stats(r.now).Dirty > want; {
		for key, id := range r.reads {
			delete(r.reads, key)
			r.e.PageRead(r.now, id, engine.Page{Batches: run("x", 1, 1), Authoritative: true, Node: watchedNode})
			r.collect()
			r.e.Consumed(r.now, r.bytes)
			r.bytes = 0
			r.collect()
			break
		}
	}
}

// wants asserts that the engine asked for something among others.
func (r *rig) wants(command string) {
	r.t.Helper()
	if !slices.Contains(r.shown, command) {
		r.t.Fatalf("the engine did not ask for %q among %d others", command, len(r.shown))
	}
}

const tooMany = 4100

func manyLanes(o *engine.Options) { o.MaxLanes = 2 * tooMany }

func TestFlow(t *testing.T) {
	check(t, []rule{
		{name: "a list goes on as soon as there is room", options: manyLanes, script: func(r *rig) {
			r.subscribe(1)
			r.swamp(numbered(tooMany))
			r.listMore(0, 7)
			r.want()
			r.drain(tooMany - 4000)
			r.wants("list 0 from 7")
		}},
		{name: "a late look is taken as soon as there is room", options: func(o *engine.Options) { manyLanes(o); o.Late = 3 * time.Second }, script: func(r *rig) {
			r.live(1)
			r.swamp(numbered(tooMany))
			r.pass(4 * time.Second)
			r.want()
			r.drain(tooMany - 4000)
			r.wants("list 0")
		}},
	})
}

// Two pages may be answered before what follows from the first is carried out.
func TestTwoPagesAtOnce(t *testing.T) {
	r := newRig(t)
	r.live(1)
	r.frame(wrote(a, 1, 1), wrote(b, 1, 1))
	answer := func(key msg.Key) {
		id := r.reads[key]
		delete(r.reads, key)
		r.e.PageRead(r.now, id, engine.Page{Batches: run("x", 1, 1), Authoritative: true, Node: watchedNode})
	}
	answer(a)
	r.e.Recycle(r.e.Commands()) // their memory is used again
	r.frame(wrote(c, 1, 1))
	answer(b)
	answer(c)
	commands := r.e.Commands()
	if len(commands) != 2 || commands[0].Changes[0].Key != b || commands[1].Changes[0].Key != c {
		t.Fatalf("pages of b and c are delivered as %s and %s", render(&commands[0]), render(&commands[1]))
	}
}
