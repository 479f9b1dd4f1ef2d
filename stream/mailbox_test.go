package stream

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/celeriant/celeriant-go/msg"
)

// A member that leaves in the moment a loop gives back what it has not handled
// takes all of that along.
func TestLeavingWhileALoopGivesBack(t *testing.T) {
	for range 20_000 {
		var b mailbox
		b.init()
		b.put([]Change{{Kind: Batch, Key: msg.Key{Org: msg.ID{1}}}, {Kind: CaughtUp}}, 0)
		p, ok, err := b.poll(true)
		if !ok || err != nil {
			t.Fatalf("nothing to take: %v", err)
		}
		var leaving sync.WaitGroup
		leaving.Go(func() { b.restrict(nobody) })
		b.unget(p.changes)
		leaving.Wait()
		if p, _, _ = b.poll(false); len(p.changes) != 1 || p.changes[0].Kind != CaughtUp {
			t.Fatalf("%d changes are given back", len(p.changes))
		}
	}
}

func boxOf(keys ...byte) *mailbox {
	b := new(mailbox)
	b.init()
	b.put(batches(keys...), 0)
	return b
}

func batches(keys ...byte) []Change {
	out := make([]Change, len(keys))
	for i, k := range keys {
		out[i] = Change{Kind: Batch, Key: numbered(k)}
	}
	return out
}

func numbered(n byte) msg.Key { return msg.Key{Org: msg.ID{n}} }

func nobody(msg.Key) bool { return false }

func only(n byte) func(msg.Key) bool { return func(k msg.Key) bool { return k == numbered(n) } }

// polls takes what waits, which must be batches of these.
func polls(t *testing.T, b *mailbox, hold bool, keys ...byte) []Change {
	t.Helper()
	p, _, err := b.poll(hold)
	if err != nil || !slices.EqualFunc(p.changes, batches(keys...), func(a, b Change) bool { return a.Key == b.Key }) {
		t.Fatalf("took %v, %v, want those of %v", p.changes, err, keys)
	}
	return p.changes
}

// Changes of a member that leaves are dropped wherever they wait, also behind the
// slice that was taken; a slice emptied by that is not handed out.
func TestBoxRestricts(t *testing.T) {
	b := boxOf(1)
	b.put(batches(1, 2), 0)
	b.put(batches(3), 0)
	polls(t, b, false, 1)
	b.restrict(only(2))
	polls(t, b, false, 2)
	if !b.empty() || b.waiting() != 0 {
		t.Error("something waits that has left")
	}
	if b.put(batches(4), 0); b.empty() {
		t.Error("nothing waits of what was put")
	}
}

// An aggregate that left during the former slice, and has joined again, stays in the
// present slice.
func TestBoxForgetsWhatLeftBefore(t *testing.T) {
	b := boxOf(1)
	polls(t, b, true, 1)
	b.restrict(nobody)
	b.put(batches(1, 2), 0)
	held := polls(t, b, true, 1, 2)
	b.restrict(only(1))
	if rest := b.still(held); len(rest) != 1 || rest[0].Key != numbered(1) {
		t.Errorf("%v are left", rest)
	}
}

// An aggregate without ids may leave: CaughtUp, which has none, stays.
func TestBoxKeepsCaughtUp(t *testing.T) {
	b := new(mailbox)
	b.init()
	b.put([]Change{{Kind: Batch}, {Kind: CaughtUp}}, 0)
	p, _, _ := b.poll(true)
	b.restrict(nobody)
	if rest := b.still(p.changes); len(rest) != 1 || rest[0].Kind != CaughtUp {
		t.Errorf("%v are left", rest)
	}
}

// Nothing follows the end; the first cause stays, and reaches all who wait.
func TestBoxCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := boxOf(1)
		first, enough := errors.New("first"), errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(enough)
		polls(t, b, false, 1)
		if _, err := b.take(ctx, false); err != enough {
			t.Errorf("who waits no longer is told %v", err)
		}
		var waiting sync.WaitGroup
		for range 3 {
			waiting.Go(func() {
				if _, err := b.take(t.Context(), false); err != first {
					t.Errorf("who waits is told %v", err)
				}
			})
		}
		synctest.Wait()
		b.close(first)
		b.close(errors.New("second"))
		waiting.Wait()
		b.put(batches(2), 0)
		if _, ok, err := b.poll(false); ok || err != first {
			t.Errorf("the end is followed by something, or is %v", err)
		}
	})
}

// A box that is never empty keeps no more than what waits, and a burst's room is given
// back; the order stays.
func TestMailboxForgetsWhatWasTaken(t *testing.T) {
	var b mailbox
	b.init()
	next, taken := 0, 0
	put := func(n int) {
		for range n {
			b.put([]Change{{Kind: Batch, Version: uint64(next)}}, 1)
			next++
		}
	}
	take := func(n int) {
		for range n {
			p, ok, err := b.poll(false)
			if !ok || err != nil || p.changes[0].Version != uint64(taken) {
				t.Fatalf("took %v, %v, %v, want %d", p, ok, err, taken)
			}
			taken++
		}
	}
	put(1)
	for range 10_000 {
		put(1)
		take(1)
	}
	if cap(b.queue) > keptDeliveries {
		t.Errorf("room for %d, and one waits", cap(b.queue))
	}
	put(10_000)
	take(9_000)
	put(10_000)
	take(11_001)
	put(10)
	take(10)
	if cap(b.queue) > keptDeliveries {
		t.Errorf("room for %d after a burst", cap(b.queue))
	}
}
