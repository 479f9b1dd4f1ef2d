package engine

import (
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// recent holds the stored cursors of aggregates that came to rest lately, so that
// what is written to again and again needs no look-up in the store. Its size is
// fixed: each key has one place, which it shares with others.
type recent struct {
	places []resting
	size   int
}

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
	if r.places == nil {
		r.places = make([]resting, r.size)
	}
	*r.place(key) = resting{key, c}
}

// take returns the cursor of a key that is no longer at rest; false if there is none.
func (r *recent) take(key msg.Key) (c checkpoint.Cursor, ok bool) {
	if r.places == nil {
		return c, false
	}
	p := r.place(key)
	if p.key != key || p.cursor.IsZero() {
		return c, false
	}
	c, *p = p.cursor, resting{}
	return c, true
}

// clear forgets all cursors.
func (r *recent) clear() { clear(r.places) }
