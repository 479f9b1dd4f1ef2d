package stream

import (
	"sync"
	"testing"

	"github.com/celeriant/celeriant-go/msg"
)

// A member that leaves in the moment a loop gives back what it has not handled
// takes all of that along.
func TestLeavingWhileALoopGivesBack(t *testing.T) {
	nobody := func(msg.Key) bool { return false }
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
