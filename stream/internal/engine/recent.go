package engine

import (
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// recent holds the stored cursors of aggregates that came to rest lately, so that
// what is written to again and again needs no look-up in the store. Each key has one
// place, which it shares with others. The places grow with the keys, up to size, and are
// given back while nothing comes to rest: most subscriptions are idle.
type recent struct {
	places []resting
	size   int
	// used since the time of fading was set; zero if that was not.
	used   bool
	fading time.Time
}

const (
	// fewest are the places to begin with.
	fewest = 4
	// fade is how long places are kept that nothing uses.
	fade = 10 * time.Second
)

type resting struct {
	key    msg.Key
	cursor checkpoint.Cursor // zero for an empty place
}

func (r *recent) place(key msg.Key) *resting {
	return &r.places[hash(key).Lo%uint64(len(r.places))]
}

// put holds a cursor, instead of another key's in that place.
func (r *recent) put(key msg.Key, c checkpoint.Cursor) {
	if r.size == 0 {
		return
	}
	r.used = true
	if r.places == nil {
		r.places = make([]resting, min(fewest, r.size))
	}
	p := r.place(key)
	for p.key != key && !p.cursor.IsZero() && len(r.places) < r.size {
		r.grow()
		p = r.place(key)
	}
	*p = resting{key, c}
}

// grow doubles the places, as far as they may grow.
func (r *recent) grow() {
	old := r.places
	r.places = make([]resting, min(2*len(old), r.size))
	for i := range old {
		if !old[i].cursor.IsZero() {
			*r.place(old[i].key) = old[i]
		}
	}
}

// tick gives the places back that were not used for some time.
func (r *recent) tick(now time.Time) {
	switch {
	case r.places == nil:
		r.fading = time.Time{}
	case r.used || r.fading.IsZero():
		r.used, r.fading = false, now.Add(fade)
	case !now.Before(r.fading):
		r.places, r.fading = nil, time.Time{}
	}
}

// take returns the cursor of a key that is no longer at rest; false if there is none.
func (r *recent) take(key msg.Key) (c checkpoint.Cursor, ok bool) {
	if r.places == nil {
		return c, false
	}
	r.used = true
	p := r.place(key)
	if p.key != key || p.cursor.IsZero() {
		return c, false
	}
	c, *p = p.cursor, resting{}
	return c, true
}

// clear forgets all cursors.
func (r *recent) clear() { clear(r.places) }
