package engine_test

import (
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// remembers lets so many cursors at rest be held, and has look-ups wait for load.
func remembers(n int) func(*engine.Options) {
	return func(o *engine.Options) { o.Recent = n }
}

// looksUp hears of a version, looks up the cursor and reads, delivers and stores
// the batch.
func (r *rig) looksUp(key msg.Key, version uint64) {
	r.t.Helper()
	r.frame(wrote(key, version, version))
	r.want("load " + name(key))
	r.load()
	r.page(key, run("x", max(1, version-1), version)...)
	r.commit()
	r.skip()
}

func TestRecent(t *testing.T) {
	check(t, []rule{
		{name: "what came to rest lately needs no look-up", options: remembers(4), script: func(r *rig) {
			r.live(1)
			r.byHand = true
			r.looksUp(a, 1)
			r.frame(wrote(a, 2, 2))
			r.want("read a 1-9")
			r.page(a, run("x", 1, 2)...)
			r.want("a 0.2")
			r.commit()
			r.frame(wrote(a, 3, 3))
			r.want("read a 2-10")
		}},
		{name: "what is not stored yet is not at rest", options: remembers(4), script: func(r *rig) {
			r.live(1)
			r.byHand = true
			r.looksUp(a, 1)
			r.frame(wrote(a, 2, 2))
			r.page(a, run("x", 1, 2)...)
			r.resting(a, checkpoint.Cursor{})
			r.commit()
			r.resting(a, at(0, in("x", 2)))
		}},
		{name: "an aggregate of which nothing is stored is looked up", options: remembers(4), script: func(r *rig) {
			r.live(1)
			r.byHand = true
			for range 2 {
				r.frame(deleted(a))
				r.want("load a")
				r.load()
				r.want("read a 1-8")
				r.fail(a, engine.NotFound)
				r.skip()
			}
		}},
		{name: "the cursor of another aggregate in the same place is none", options: remembers(1), script: func(r *rig) {
			r.live(1)
			r.byHand = true
			r.looksUp(a, 1)
			r.looksUp(b, 1)
			r.looksUp(a, 2)
			r.looksUp(b, 2)
		}},
		{name: "a deleted aggregate stays deleted", options: remembers(4), script: func(r *rig) {
			r.live(1)
			r.byHand = true
			r.looksUp(a, 1)
			r.frame(deleted(a))
			r.want("read a 1-9")
			r.fail(a, engine.NotFound)
			r.want("a deleted")
			r.commit()
			r.frame(created(a), wrote(a, 1, 1))
			r.want("read a 1-9 at the leader") // as that of a life that ended
		}},
		{name: "what left, was stored later and joined again is looked up", options: remembers(4), script: func(r *rig) {
			r.live(1)
			r.byHand = true
			r.looksUp(a, 1)
			r.frame(wrote(a, 2, 2))
			r.page(a, run("x", 1, 2)...)
			r.follow(1, b)
			r.commit()
			r.follow(1, a, b)
			r.skip()
			r.e.Frame(r.now, link(0), 1, []msg.Notification{wrote(a, 3, 3)})
			r.collect()
			r.want("load a")
		}},
		{name: "what left, joined again and rested is looked up when it was stored later", options: remembers(4), script: func(r *rig) {
			r.live(1)
			r.byHand = true
			r.looksUp(a, 1)
			r.frame(wrote(a, 2, 2))
			r.page(a, run("x", 1, 2)...)
			r.follow(1, b)
			r.follow(1, a, b)
			r.skip()
			r.e.Frame(r.now, link(0), 1, []msg.Notification{wrote(a, 1, 1)})
			r.collect()
			r.want("load a")
			r.load()
			r.resting(a, at(0, in("x", 1)))
			r.commit()
			r.resting(a, checkpoint.Cursor{})
		}},
	})
}

// resting asserts the cursor that is held of an aggregate at rest.
func (r *rig) resting(key msg.Key, want checkpoint.Cursor) {
	r.t.Helper()
	if got := r.e.Resting(key); got != want {
		r.t.Fatalf("%v is held of %s, want %v", got, name(key), want)
	}
}
