package engine

import (
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// The places grow with the keys up to their bound, lose few of them, and are given back
// once nothing uses them.
func TestRecentGrowsAndFades(t *testing.T) {
	const size = 64
	r, now := recent{size: size}, time.Unix(1000, 0)
	key := func(n int) msg.Key { return msg.Key{Aggregate: msg.IDFromUint64(uint64(n))} }
	put := func(n int) { r.put(key(n), checkpoint.Cursor{Version: uint64(n)}) }
	put(1)
	if len(r.places) != fewest {
		t.Errorf("%d places for one key", len(r.places))
	}
	for n := 2; n <= 10*size; n++ {
		put(n)
	}
	found := 0
	for n := 1; n <= 10*size; n++ {
		if c, ok := r.take(key(n)); ok {
			found++
			if c.Version != uint64(n) {
				t.Errorf("the cursor of %d is that of another key, %v", n, c)
			}
		}
	}
	if len(r.places) != size || found < size/2 {
		t.Errorf("%d places hold %d cursors, want %d places", len(r.places), found, size)
	}
	for range 3 { // used again and again
		put(7)
		r.tick(now)
		now = now.Add(fade)
	}
	if c, ok := r.take(key(7)); !ok || c.Version != 7 {
		t.Errorf("%v is held of what was used a moment ago", c)
	}
	put(7)
	for range 3 {
		now = now.Add(fade)
		r.tick(now)
	}
	if r.places != nil {
		t.Errorf("%d places are kept of what nothing uses", len(r.places))
	}
}
