package engine_test

import (
	"slices"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// reading brings a, which stands at version 3, to a read of what follows.
func reading(r *rig) {
	r.t.Helper()
	r.stored[a] = at(0, in("x", 3))
	r.live(1)
	r.frame(wrote(a, 4, 6))
	r.want("read a 3-11")
}

//covers:g2
func TestPages(t *testing.T) {
	check(t, []rule{
		{name: "versions may jump", script: func(r *rig) {
			reading(r)
			r.page(a, in("x", 3), in("x", 6))
			r.want("a 0.6")
		}},
		{name: "a repeated batch is delivered once", script: func(r *rig) {
			reading(r)
			r.page(a, in("x", 3), in("x", 3), in("x", 4), in("x", 4), in("x", 5), in("x", 6))
			r.want("a 0.4, a 0.5, a 0.6")
		}},
		{name: "batches at or above the next version come again", script: func(r *rig) {
			reading(r)
			r.pageNext(a, 5, in("x", 3), in("x", 4), in("x", 5), in("x", 6))
			r.want("a 0.4", "read a 4-12")
			r.page(a, run("x", 4, 6)...)
			r.want("a 0.5, a 0.6")
		}},
		{name: "a repeat that did not fit is no reason to ask again", script: func(r *rig) {
			reading(r)
			r.pageNext(a, 3, in("x", 3), in("x", 5))
			r.want("read a 4-4")
			r.pageNext(a, 4, in("x", 4))
			r.want("read a 3-3")
			r.pageNext(a, 3, in("x", 3))
			r.want("a 0.4", "read a 4-12")
		}},
		{name: "a cursor's batch that fills the page is left out", script: func(r *rig) {
			reading(r)
			r.pageNext(a, 6, in("x", 3))
			r.want("read a 6-6")
			r.page(a, in("x", 6))
			r.want("read a 3-3")
			r.page(a, in("x", 3))
			r.want("a 0.6")
		}},
		{name: "two contents of one version are not trusted", script: func(r *rig) {
			reading(r)
			r.page(a, in("x", 3), in("x", 4), in("y", 4), in("x", 5))
			distrusted(r)
		}},
		{name: "versions that go back are not trusted", script: func(r *rig) {
			reading(r)
			r.page(a, in("x", 3), in("x", 5), in("x", 4))
			distrusted(r)
		}},
		{name: "versions above the range are not trusted", script: func(r *rig) {
			reading(r)
			r.page(a, in("x", 3), in("x", 12))
			distrusted(r)
		}},
		{name: "versions below the range are not trusted", script: func(r *rig) {
			reading(r)
			r.page(a, in("x", 2), in("x", 3), in("x", 4))
			distrusted(r)
		}},
		{name: "a next version that does not advance is not trusted", script: func(r *rig) {
			reading(r)
			r.pageNext(a, 2, in("x", 3), in("x", 4))
			distrusted(r)
		}},
		{name: "a hole is looked over, ever wider", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 1))
			r.live(1)
			r.frame(wrote(a, 50, 50))
			for _, want := range []string{"read a 1-9", "read a 1-25", "read a 1-57"} {
				r.want(want)
				if want == "read a 1-57" {
					r.page(a, in("x", 1), in("x", 50))
				} else {
					r.page(a, in("x", 1))
				}
			}
			r.want("a 0.50")
		}},
		{name: "a large batch behind a hole is found by narrowing", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 1))
			r.live(1)
			r.frame(wrote(a, 6, 6))
			large := func(want string) { r.t.Helper(); r.want(want); r.fail(a, engine.TooLarge) }
			empty := func(want string) { r.t.Helper(); r.want(want); r.page(a) }
			one := func() { r.t.Helper(); r.want("read a 1-1"); r.page(a, in("x", 1)) }
			large("read a 1-9")
			large("read a 1-5")
			large("read a 1-3")
			// Version 1 may stand for several lives, so it is read alone.
			one()
			empty("read a 2-2")
			one()
			one()
			empty("read a 2-4") // still without version 1
			one()
			one()
			large("read a 2-8")
			r.want("read a 2-6")
			r.page(a, in("x", 6))
			one()
			r.want("a 0.6")
		}},
		{name: "a jump of versions is crossed in few reads where version 1 of all lives does not fit a page", script: func(r *rig) {
			silentThroughLives(r)
			for _, want := range []string{"read a 2-2", "read a 2-4", "read a 2-8", "read a 2-16", "read a 2-32", "read a 2-64", "read a 2-128", "read a 2-256"} {
				looksBehindFirst(r, want)
			}
			looksBehindFirst(r, "read a 2-512", in("x", 300))
			r.want("a 0.300")
		}},
		{name: "without a version also an open end is read behind version 1", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 1))
			r.live(1)
			r.frame(wrote(a, 2, 2))
			r.hold(a)
			r.skip()
			r.release(a)
			r.want("read a 1-9")
			r.fail(a, engine.Silent)
			r.pass(5 * time.Second)
			looksBehindFirst(r, "read a 2-2")
			looksBehindFirst(r, "read a 2-", in("x", 300))
			r.want("a 0.300")
		}},
		{name: "a node that shows another version 1 before the next look shows another life", script: func(r *rig) {
			silentThroughLives(r)
			looksBehindFirst(r, "read a 2-2")
			r.want("read a 1-1")
			r.page(a, in("y", 1))
			r.want("a reset", "read a 1-2 at the leader")
		}},
	})
}

// silentThroughLives has the node stay silent when it is asked for version 1 and more, and
// tells of version 300.
func silentThroughLives(r *rig) {
	r.t.Helper()
	r.stored[a] = at(0, in("x", 1))
	r.live(1)
	r.frame(wrote(a, 300, 300))
	r.want("read a 1-9")
	r.fail(a, engine.Silent)
	r.pass(5 * time.Second)
}

// looksBehindFirst asserts one look behind version 1, which is read before and after it.
func looksBehindFirst(r *rig, want string, batches ...msg.Batch) {
	r.t.Helper()
	r.want("read a 1-1")
	r.page(a, in("x", 1))
	r.want(want)
	r.page(a, batches...)
	r.want("read a 1-1")
	r.page(a, in("x", 1))
}

// distrusted asserts that nothing of a page was used and that it is asked for
// again later.
func distrusted(r *rig) {
	r.t.Helper()
	r.want()
	if n := r.e.Stats(r.now).Untrusted; n != 1 {
		r.t.Errorf("%d pages not trusted, not 1", n)
	}
	r.pass(time.Second)
	if len(r.shown) != 1 || r.shown[0][:7] != "read a " {
		r.t.Errorf("asked for %q instead of the page again", r.shown)
	}
}

//covers:g13 oversize
func TestUnreadable(t *testing.T) {
	check(t, []rule{
		{name: "a batch too large for the client is named once, and others flow on", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 4, 4), wrote(b, 1, 1))
			r.want("read a 3-11", "read b 1-8")
			for _, want := range []string{"read a 3-7", "read a 3-5", "read a 4-4"} {
				r.fail(a, engine.TooLarge)
				r.want(want)
			}
			r.fail(a, engine.TooLarge)
			r.want("read a 3-3")
			r.page(a, in("x", 3))
			r.want("a unreadable 4")
			r.page(b, in("x", 1))
			r.want("b 0.1")
			r.frame(wrote(a, 5, 5), wrote(b, 2, 2))
			r.want("read b 1-9")
			if n := r.e.Stats(r.now).Parked; n != 1 {
				r.t.Errorf("%d aggregates parked, not 1", n)
			}
		}},
		{name: "a batch the node never answers for is named once it was silent twice", script: func(r *rig) {
			parkSilent(r)
			r.pass(5 * time.Minute)
			r.want()
		}},
		{name: "it is tried again after the next list, and not named again", script: func(r *rig) {
			parkSilent(r)
			r.lose(0)
			r.pass(time.Second)
			r.ack(0)
			r.skip()
			r.list(0, listed(a, in("x", 4)))
			r.want("read a 3-4")
			r.fail(a, engine.TooLarge)
			r.want("read a 4-4")
			r.fail(a, engine.TooLarge)
			r.want("read a 3-3")
			r.page(a, in("x", 3))
			r.want("read a 3-3 at the leader") // it is the life that was listed
			r.page(a, in("x", 3))
			r.want("caught up", "live")
		}},
		{name: "what a node that lags cannot send holds up no other life", script: func(r *rig) {
			parkSilent(r)
			r.lose(0)
			r.pass(time.Second)
			r.ack(0)
			r.skip()
			r.list(0, listed(a, in("y", 9)))
			r.fail(a, engine.TooLarge)
			r.fail(a, engine.TooLarge)
			r.page(a, in("x", 3))
			r.want("read a 3-4", "read a 4-4", "read a 3-3", "read a 3-3 at the leader")
			r.vanish(a)
			r.want("a reset", "read a 1-1 at the leader")
		}},
		{name: "a trim of it lets the aggregate go on", script: func(r *rig) {
			parkSilent(r)
			r.frame(trimmed(a, 5))
			r.want("read a 3-4")
			r.below(a, 5)
			r.want("read a 5-5")
			r.page(a, in("x", 5))
			r.want("a truncated 4-4", "read a 1-0")
			r.below(a, 5)
			r.want("a 0.5")
		}},
		{name: "a trim below it does not", script: func(r *rig) {
			parkSilent(r)
			r.frame(trimmed(a, 4))
			r.want()
		}},
		{name: "a change of life lets the aggregate go on", script: func(r *rig) {
			parkSilent(r)
			r.frame(deleted(a))
			r.want("read a 3-4")
			r.fail(a, engine.NotFound)
			r.want("a deleted")
		}},
		{name: "a trim of the batch that is shown late lets it go on", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			refuse := func() {
				r.fail(a, engine.TooLarge)
				r.want("read a 3-3")
				r.page(a, in("x", 3))
			}
			r.frame(wrote(a, 4, 4))
			narrow(r)
			refuse()
			r.want("a unreadable 4")
			r.frame(trimmed(a, 6))
			r.want("read a 3-4")
			r.fail(a, engine.TooLarge)
			r.want("read a 4-4")
			refuse()
			r.want()
			r.pass(50 * time.Millisecond)
			r.skip()
			r.below(a, 6)
			r.want("read a 6-6")
		}},
		{name: "a change of life while it is tried is not forgotten", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 4, 4))
			narrow(r)
			r.fail(a, engine.TooLarge)
			r.want("read a 3-3")
			r.frame(deleted(a))
			r.page(a, in("x", 3))
			r.want("read a 3-4")
			r.fail(a, engine.NotFound)
			r.want("a deleted")
		}},
		{name: "behind another life's cursor nothing is unreadable yet", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 4, 4))
			narrow(r)
			r.fail(a, engine.TooLarge)
			r.want("read a 3-3")
			r.page(a, in("y", 3))
			r.want("a reset", "read a 1-1 at the leader")
		}},
		{name: "the first version is given twice as many chances", script: func(r *rig) {
			r.live(1)
			r.frame(wrote(a, 1, 1))
			answered := 0
			for !slices.Contains(r.shown, "a unreadable 1") {
				if slices.Contains(r.shown, "read a 1-0") {
					answered++
					r.skip()
					r.page(a)
				} else {
					r.skip()
					r.fail(a, engine.Silent)
				}
				if _, asked := r.reads[a]; !asked {
					r.pass(10 * time.Second)
				}
			}
			if answered != 4 {
				r.t.Errorf("unreadable after %d silences", answered)
			}
		}},
		{name: "silences of different batches do not add up", script: func(r *rig) {
			silentAtCursor(r)
			r.want()
		}},
		{name: "a batch at the cursor that is not answered any more is unreadable, too", script: func(r *rig) {
			silentAtCursor(r)
			r.pass(4 * time.Second)
			r.want("read a 3-4")
			r.pageNext(a, 4, in("x", 3))
			r.want("read a 4-4")
			r.page(a, in("x", 4))
			r.want("read a 3-3")
			r.fail(a, engine.Silent)
			r.want("read a 1-0")
			r.page(a)
			r.want("a unreadable 3")
		}},
		{name: "silence of the node as a whole names nothing", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(wrote(a, 4, 4))
			r.want("read a 3-11")
			for range 10 {
				r.fail(a, engine.Silent)
				r.pass(time.Hour, 0)
				r.ack(0)
				for i := range r.delivered {
					if r.delivered[i].Kind == engine.Unreadable {
						r.t.Fatal("a batch was called unreadable while nothing was answered")
					}
				}
			}
		}},
		{name: "first batches of lives that do not fit one page leave the aggregate parked", script: func(r *rig) {
			r.live(1)
			r.frame(wrote(a, 4, 4))
			r.want("read a 1-8")
			for range 3 {
				r.pageNext(a, 1, in("x", 1), in("x", 2))
				r.want("read a 1-1")
				r.pageNext(a, 1, in("x", 1))
				r.pass(10 * time.Second)
				if len(r.shown) == 1 && r.shown[0] == "a unreadable 1" {
					return
				}
				r.want("read a 1-8")
			}
			r.t.Fatal("never parked")
		}},
	})
}

// parkSilent parks a at version 4, which the node does not answer.
func parkSilent(r *rig) {
	r.t.Helper()
	r.stored[a] = at(0, in("x", 3))
	r.live(1)
	r.frame(wrote(a, 4, 4))
	r.want("read a 3-11")
	r.fail(a, engine.Silent)
	r.want()
	r.pass(time.Second)
	r.want("read a 4-4")
	r.fail(a, engine.Silent)
	r.want("read a 3-3")
	r.page(a, in("x", 3))
	r.want()
	r.pass(2 * time.Second)
	r.want("read a 3-4")
	r.fail(a, engine.Silent)
	r.pass(4 * time.Second)
	r.want("read a 4-4")
	r.fail(a, engine.Silent)
	r.want("read a 3-3")
	r.page(a, in("x", 3))
	r.want("a unreadable 4")
}

// silentAtCursor lets first version 4 stay unanswered, then the cursor's own.
func silentAtCursor(r *rig) {
	r.t.Helper()
	r.stored[a] = at(0, in("x", 3))
	r.live(1)
	r.frame(wrote(a, 4, 4))
	r.want("read a 3-11")
	r.fail(a, engine.Silent)
	r.pass(time.Second)
	r.want("read a 4-4")
	r.fail(a, engine.Silent)
	r.want("read a 3-3")
	r.page(a, in("x", 3))
	r.pass(2 * time.Second)
	r.want("read a 3-4")
	r.pageNext(a, 4, in("x", 3))
	r.want("read a 4-4")
	r.page(a, in("x", 4))
	r.want("read a 3-3")
	r.fail(a, engine.Silent)
	r.want("read a 1-0")
	r.page(a)
}

//covers:g8
func TestLeadersWord(t *testing.T) {
	elsewhere := engine.Failure{Kind: engine.NotFound, Err: errTest}
	check(t, []rule{
		{name: "absent elsewhere is not deleted", script: func(r *rig) {
			reading(r)
			r.failWith(a, elsewhere)
			r.want("read a 3-11 at the leader")
			r.page(a, run("x", 3, 6)...)
			r.want("a 0.4, a 0.5, a 0.6")
		}},
		{name: "absent at the leader is", script: func(r *rig) {
			reading(r)
			r.failWith(a, elsewhere)
			r.want("read a 3-11 at the leader")
			r.fail(a, engine.NotFound)
			r.doubted(func() { r.fail(a, engine.NotFound) })
			r.want("a deleted")
		}},
		{name: "another batch at the cursor elsewhere is no Reset", script: func(r *rig) {
			reading(r)
			r.elsewhere(a, run("y", 3, 6)...)
			r.want("read a 3-11 at the leader")
			r.page(a, run("y", 3, 6)...)
			r.want("a reset", "read a 1-8 at the leader")
		}},
		{name: "a head below the notified version elsewhere is a lag", script: func(r *rig) {
			reading(r)
			r.elsewhere(a, in("x", 3), in("x", 4))
			r.want("a 0.4", "read a 4-12 at the leader")
			r.page(a, run("x", 4, 6)...)
			r.want("a 0.5, a 0.6")
		}},
		{name: "a floor elsewhere may be an earlier life's", script: func(r *rig) {
			reading(r)
			r.failWith(a, engine.Failure{Kind: engine.BelowFloor, Minimum: 5, Err: errTest})
			r.want("read a 3-11 at the leader")
			r.below(a, 5)
			// A trim at the leader is no evidence about what this watch has heard.
			r.want("a reset", "read a 5-12 at the leader")
		}},
		{name: "as many versions of an earlier life elsewhere are a lag", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.subscribe(1)
			r.skip()
			r.list(0, listed(a, in("y", 4)))
			r.want("read a 3-11")
			r.elsewhere(a, in("x", 3), in("x", 4))
			r.want("a 0.4", "read a 4-12 at the leader")
			r.page(a)
			r.want("a reset", "read a 1-8 at the leader")
			r.page(a, run("y", 1, 4)...)
			r.want("a 1.1, a 1.2, a 1.3, a 1.4", "caught up", "live")
		}},
		{name: "once the aggregate is read, the leader is left alone", script: func(r *rig) {
			reading(r)
			r.failWith(a, elsewhere)
			r.skip()
			r.page(a, run("x", 3, 6)...)
			r.frame(wrote(a, 7, 7))
			r.want("a 0.4, a 0.5, a 0.6", "read a 6-14")
		}},
		{name: "a leader that cannot be asked is asked again later", script: func(r *rig) {
			reading(r)
			r.failWith(a, elsewhere)
			r.want("read a 3-11 at the leader")
			r.failWith(a, engine.Failure{Kind: engine.Deposed, Err: errTest})
			r.frame(wrote(b, 1, 1))
			r.want("read b 1-8") // nobody else waits
			r.pass(time.Second)
			r.want("read a 3-11 at the leader")
			r.page(a, run("x", 3, 6)...)
			r.want("a 0.4, a 0.5, a 0.6")
		}},
		{name: "an authoritative head below the notified version is the truth", script: func(r *rig) {
			reading(r)
			r.page(a, in("x", 3), in("x", 4))
			r.want("a 0.4")
			r.doubted(func() { r.page(a, in("x", 4)) })
			r.pass(time.Minute)
			r.want()
		}},
		{name: "a look-up without a version that finds nothing new elsewhere is enough", script: func(r *rig) {
			r.stored[a] = at(0, in("x", 3))
			r.live(1)
			r.frame(msg.Notification{Key: a, Operation: msg.OpWrite})
			r.want("read a 3-11")
			r.elsewhere(a, in("x", 3))
			r.want()
			r.pass(time.Minute)
			r.want()
		}},
	})
}
