package engine_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// shownSinceListed delivers version 4 of a, of which a delete was heard, before the list
// under way calls it deleted.
func shownSinceListed(r *rig) {
	r.t.Helper()
	r.stored[a] = at(0, in("x", 3))
	relisting(r)
	r.frame(deleted(a))
	r.want("read a 3-11")
	r.page(a, run("x", 3, 4)...)
	r.want("a 0.4")
	r.list(0, listedDeleted(a))
	r.want()
}

// followerShown does the same of a follower.
func followerShown(r *rig) {
	r.t.Helper()
	r.stored[a] = at(0, in("x", 3))
	r.subscribe(1)
	r.frame(deleted(a))
	r.skip()
	r.page(a, run("x", 3, 4)...)
	r.want("a 0.4")
	r.list(0, listedDeleted(a))
	r.want()
}

// notDeleted asserts that no end of a was announced, and forgets what the engine asked for.
func notDeleted(r *rig) {
	r.t.Helper()
	if slices.Contains(r.shown, "a deleted") {
		r.t.Errorf("deleted, but shown alive since the list was made: %q", r.shown)
	}
	r.skip()
}

func TestDoubtedList(t *testing.T) {
	check(t, []rule{
		{name: "what was shown since the list began is not deleted if its write is notified", script: func(r *rig) {
			shownSinceListed(r)
			r.pass(500 * time.Millisecond)
			r.want()
			r.frame(wrote(a, 4, 4))
			r.want("read a 4-12")
			r.page(a, in("x", 4))
			r.pass(time.Minute)
			notDeleted(r)
		}},
		{name: "and also if what was shown was committed and forgotten", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			relisting(r)
			r.frame(trimmed(a, 4))
			r.want("read a 3-11")
			r.page(a, run("x", 3, 4)...)
			r.want("a 0.4")
			r.commit()
			r.list(0, listedDeleted(a))
			r.want()
			r.frame(wrote(a, 4, 4))
			r.want("caught up", "live")
		}},
		{name: "it is deleted if none is", script: func(r *rig) {
			shownSinceListed(r)
			r.pass(time.Second)
			r.want("a deleted", "caught up", "live")
		}},
		{name: "a follower may take its time to notify", options: following, script: func(r *rig) {
			followerShown(r)
			r.pass(4 * time.Second)
			notDeleted(r)
			r.frame(wrote(a, 4, 4))
			r.want("read a 4-12")
		}},
		{name: "once the watch was lost another list decides", options: following, script: func(r *rig) {
			followerShown(r)
			r.lose(0)
			r.pass(time.Second)
			r.ack(0)
			r.pass(5 * time.Second)
			notDeleted(r)
		}},
		{name: "and is believed at once", options: following, script: func(r *rig) {
			followerShown(r)
			r.lose(0)
			r.pass(time.Second)
			r.ack(0)
			r.skip()
			r.list(0, listedDeleted(a))
			r.want("a deleted", "caught up", "live")
		}},
	})
}

func TestDoubtedAbsence(t *testing.T) {
	check(t, []rule{
		{name: "CaughtUp waits for the end of what was delivered, however long it is doubted", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.subscribe(1)
			r.skip()
			r.frame(wrote(a, 4, 4))
			r.list(0)
			for range 4 {
				r.want("read a 3-11")
				r.fail(a, engine.NotFound)
				r.want()
				r.pass(3 * time.Second)
			}
			r.want("read a 3-11")
			r.fail(a, engine.NotFound)
			r.want("a deleted", "caught up", "live")
		}},
		{name: "CaughtUp waits for a delete that does not show", script: func(r *rig) {
			r.subscribe(1)
			r.skip()
			r.frame(wrote(a, 1, 8))
			r.list(0)
			r.want("read a 1-8")
			r.frame(deleted(a))
			r.frame(wrote(a, 9, 30))
			r.page(a, run("x", 1, 8)...)
			r.want("a 0.1, a 0.2, a 0.3, a 0.4, a 0.5, a 0.6, a 0.7, a 0.8", "read a 8-16")
		}},
		{name: "the leader is asked again for what it does not have", options: following, script: func(r *rig) {
			r.live(1)
			r.frame(created(a))
			r.absent(a)
			r.want("read a 1-8", "read a 1-8 at the leader")
			r.fail(a, engine.NotFound)
			r.pass(50 * time.Millisecond)
			r.want("read a 1-8 at the leader")
		}},
		{name: "an unreadable batch at a floor ends a Truncated that was stored there", script: func(r *rig) {
			r.stored[a] = checkpoint.Cursor{Version: 6, Anchor: at(0, in("x", 7)).Anchor}
			r.subscribe(1)
			r.list(0, listed(a, in("x", 9)))
			for range 40 {
				switch last := r.shown[len(r.shown)-1]; {
				case strings.HasPrefix(last, "read a 6-"), strings.HasPrefix(last, "read a 1-0"):
					r.below(a, 7)
				case len(r.reads) > 0:
					r.fail(a, engine.TooLarge)
				}
			}
			if got := r.delivered; len(got) != 4 || got[0].Kind != engine.Reset || got[1].Kind != engine.Truncated || got[2].Kind != engine.Unreadable {
				r.t.Errorf("delivered %+v, asked for %q", got, r.shown)
			}
		}},
	})
}
