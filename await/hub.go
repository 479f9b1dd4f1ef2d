package await

import (
	"context"
	"reflect"
	"sync"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

const (
	// interval is how often all waiters of a store look without a signal.
	interval = time.Second
	// gap is the shortest time between a look and the next one that a notification of the
	// store causes, nearby that which a commit of this process or a new waiter does.
	gap    = 10 * time.Millisecond
	nearby = time.Millisecond
	// lookUp bounds the keys of one look-up.
	lookUp = 512
	// lastLook bounds finding out why a wait was in vain.
	lastLook = time.Second
)

// hub holds the waiters of one store in this process. The hub has a goroutine for
// each name with waiters, which looks for all of them in one statement.
type hub struct {
	store checkpoint.Store

	mu    sync.Mutex
	names map[string]*table
}

// table are the waiters for one name.
type table struct {
	seats  map[*seat]struct{}
	wake   chan struct{} // holds a token when it is worth looking
	cancel context.CancelFunc
}

// seat is one waiter. Its fields are the hub's, under the lock.
type seat struct {
	hub     *hub
	key     msg.Key
	version uint64
	since   time.Time
	news    chan struct{} // holds a token when there is something to look at
	found   checkpoint.Cursor
	err     error
	seen    bool
}

// hubs has the hub of each store with waiters.
var hubs = struct {
	sync.Mutex
	of map[checkpoint.Store]*hub
}{of: make(map[checkpoint.Store]*hub)}

// hubLocked returns the hub of a store. Stores that cannot be told apart have one each.
func hubLocked(store checkpoint.Store) *hub {
	if !reflect.TypeOf(store).Comparable() {
		return &hub{store: store, names: make(map[string]*table)}
	}
	h := hubs.of[store]
	if h == nil {
		h = &hub{store: store, names: make(map[string]*table)}
		hubs.of[store] = h
	}
	return h
}

// Committed says that cursors of a subscription were stored in this process: its
// waiters look at once. Without waiters it costs one look into a map.
func Committed(store checkpoint.Store, name string) {
	if store == nil || !reflect.TypeOf(store).Comparable() {
		return
	}
	hubs.Lock()
	h := hubs.of[store]
	hubs.Unlock()
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if t := h.names[name]; t != nil {
		signal(t.wake)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// join registers a waiter, which is looked for at once. Finding the hub and joining it is
// one step: a waiter that leaves in between would take the hub away, and commits would
// wake nobody.
func join(store checkpoint.Store, name string, key msg.Key, version uint64) *seat {
	hubs.Lock()
	defer hubs.Unlock()
	h := hubLocked(store)
	s := &seat{hub: h, key: key, version: version, since: time.Now(), news: make(chan struct{}, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.names[name]
	if t == nil {
		ctx, cancel := context.WithCancel(context.Background())
		t = &table{seats: make(map[*seat]struct{}), wake: make(chan struct{}, 1), cancel: cancel}
		h.names[name] = t
		go h.serve(ctx, name, t)
	}
	t.seats[s] = struct{}{}
	signal(t.wake)
	return s
}

// leave forgets a waiter; the last one of a name ends its goroutine, the last one
// of a store its hub.
func (h *hub) leave(name string, s *seat) {
	hubs.Lock()
	defer hubs.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.names[name]
	delete(t.seats, s)
	if len(t.seats) > 0 {
		return
	}
	t.cancel()
	delete(h.names, name)
	if len(h.names) == 0 && reflect.TypeOf(h.store).Comparable() && hubs.of[h.store] == h {
		delete(hubs.of, h.store)
	}
}

// serve looks for the waiters of one name until there are none.
func (h *hub) serve(ctx context.Context, name string, t *table) {
	var notified <-chan struct{}
	if n, ok := h.store.(checkpoint.Notifier); ok {
		notified, _ = n.Notify(ctx, name) // without it there is the interval
	}
	timer := time.NewTimer(interval)
	defer timer.Stop()
	heard, rested := notified, (<-chan time.Time)(nil)
	for {
		select {
		case <-rested:
			heard, rested = notified, nil
			continue
		case <-t.wake:
		case <-heard:
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		began := time.Now()
		h.look(ctx, name, t)
		timer.Reset(interval)
		// The next signal counts from here. With many waiters, or a slow store, looks take
		// a fifth of the time at most.
		rest := min(4*time.Since(began), interval)
		heard, rested = nil, time.After(max(gap, rest))
		select {
		case <-time.After(max(nearby, rest)):
		case <-ctx.Done():
			return
		}
	}
}

// look loads the cursors of all waiters, each key once.
func (h *hub) look(ctx context.Context, name string, t *table) {
	h.mu.Lock()
	seats := make(map[msg.Key][]*seat, len(t.seats))
	var keys []msg.Key
	for s := range t.seats {
		if seats[s.key] == nil {
			keys = append(keys, s.key)
		}
		seats[s.key] = append(seats[s.key], s)
	}
	h.mu.Unlock()
	for len(keys) > 0 {
		n := min(len(keys), lookUp)
		cursors, err := h.store.Load(ctx, name, keys[:n])
		if ctx.Err() != nil {
			return
		}
		h.mu.Lock()
		for i, key := range keys[:n] {
			for _, s := range seats[key] {
				if err != nil {
					s.tell(s.found, err)
				} else {
					s.tell(cursors[i], nil)
				}
			}
		}
		h.mu.Unlock()
		keys = keys[n:]
	}
}

// tell hands what was found to a waiter, if it is new.
func (s *seat) tell(cursor checkpoint.Cursor, err error) {
	if s.seen && s.found == cursor && s.err == nil && err == nil {
		return
	}
	s.found, s.err, s.seen = cursor, err, true
	signal(s.news)
}

// look returns what was found last.
func (s *seat) look() (checkpoint.Cursor, error) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return s.found, s.err
}

func (s *seat) cursor() checkpoint.Cursor {
	cursor, _ := s.look()
	return cursor
}

// again has the waiter told with the next look, although nothing is new: what it
// made of it failed.
func (s *seat) again() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.seen = false
}
