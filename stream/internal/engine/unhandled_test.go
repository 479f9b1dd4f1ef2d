package engine_test

import (
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// Versions of a held aggregate count while its consumer is to try it again, and not while the
// aggregate is set aside.
func TestUnhandledOfHeldAggregates(t *testing.T) {
	r := newRig(t)
	r.stored[a] = at(0, in("x", 3))
	r.live(1)
	r.frame(wrote(a, 4, 5))
	r.page(a, run("x", 3, 5)...)
	written := time.UnixMilli(int64(in("x", 4).ServerTimestamp))
	counts := func(when string, want uint64, since time.Time) {
		t.Helper()
		if n, oldest := r.e.Unhandled(); n != want || !oldest.Equal(since) {
			t.Errorf("%s: %d unhandled since %v, want %d since %v", when, n, oldest, want, since)
		}
	}
	counts("delivered", 2, written)
	r.drop(a)
	r.e.HoldPending(r.now, []msg.Key{a})
	counts("held", 2, written)
	r.frame(wrote(a, 6, 6))
	counts("another one is written", 3, written)
	r.e.SetAside([]msg.Key{a, b})
	counts("set aside", 0, time.Time{})
	r.e.HoldPending(r.now, []msg.Key{b})
	counts("another one, which is set aside, is held", 0, time.Time{})
	r.e.SetAside([]msg.Key{b})
	counts("set aside no more", 3, written)
	r.e.HoldPending(r.now, []msg.Key{c})
	counts("one that was never heard of is held", 4, written)
	r.hold(d)
	counts("one waits for something else", 4, written)
	r.release(c, d)
	counts("released", 3, written)
	r.release(a)
	r.page(a, run("x", 3, 6)...)
	r.commit()
	counts("handled", 0, time.Time{})
	r.e.HoldPending(r.now, []msg.Key{c})
	r.frame(wrote(c, 7, 9))
	counts("nothing is known of one but what is written", 1, r.now)
}
