package await

import (
	"cmp"
	"reflect"
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
)

// Waiting are those in this process who wait for one name.
type Waiting struct {
	Name    string
	Waiters int
	// Oldest is since when the first of them waits.
	Oldest time.Time
}

// Waits returns who waits for the subscriptions of a store at this moment, by name, for
// those who show it. Waits asks no store.
func Waits(store checkpoint.Store) []Waiting {
	if store == nil || !reflect.TypeOf(store).Comparable() {
		return nil
	}
	hubs.Lock()
	h := hubs.of[store]
	hubs.Unlock()
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []Waiting
	for name, t := range h.names {
		w := Waiting{Name: name, Waiters: len(t.seats)}
		for s := range t.seats {
			if w.Oldest.IsZero() || s.since.Before(w.Oldest) {
				w.Oldest = s.since
			}
		}
		out = append(out, w)
	}
	slices.SortFunc(out, func(a, b Waiting) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
