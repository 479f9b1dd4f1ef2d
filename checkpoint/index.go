package checkpoint

import (
	"context"
	"fmt"
	"iter"
	"sync"

	"github.com/celeriant/celeriant-go/msg"
)

// subscription is what is known of one name.
type subscription struct {
	ownership
	cursors map[msg.Key]Cursor
}

// ownership is the fence and the scope of a subscription.
type ownership struct {
	epoch uint64
	// claimed is false after a deletion: there is no scope then, and any fits.
	claimed bool
	scope   string
}

// index holds subscriptions in memory. It decides and it applies; whoever makes
// changes durable does so in between, and sees to it that no other change
// comes between the decision and its application.
type index struct {
	mu            sync.RWMutex
	subscriptions map[string]*subscription
	closed        bool
}

func newIndex() *index { return &index{subscriptions: make(map[string]*subscription)} }

// claim decides what a claim makes of the subscription's ownership.
func (x *index) claim(c Claim) (ownership, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.closed {
		return ownership{}, ErrClosed
	}
	next := ownership{epoch: 1, claimed: true, scope: c.Scope}
	s := x.subscriptions[c.Name]
	if s == nil {
		return next, nil
	}
	if s.claimed && s.scope != c.Scope && !c.Adopt {
		return ownership{}, &ScopeError{Name: c.Name, Stored: s.scope, Wanted: c.Scope}
	}
	next.epoch = s.epoch + 1
	return next, nil
}

// advance decides which of the entries move a cursor.
func (x *index) advance(owner Owner, entries []Entry) ([]Entry, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.closed {
		return nil, ErrClosed
	}
	s := x.subscriptions[owner.Name]
	if s == nil {
		return nil, &FencedError{Name: owner.Name, Epoch: owner.Epoch}
	}
	if s.epoch != owner.Epoch || !s.claimed {
		return nil, &FencedError{Name: owner.Name, Epoch: owner.Epoch, Newest: s.epoch}
	}
	stored := make([]Cursor, len(entries))
	for i := range entries {
		stored[i] = s.cursors[entries[i].Key]
	}
	return Advance(entries, stored)
}

// forget decides what a deletion makes of the ownership; there is nothing to
// do for a name that does not exist.
func (x *index) forget(name string) (next ownership, exists bool, err error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.closed {
		return ownership{}, false, ErrClosed
	}
	s := x.subscriptions[name]
	if s == nil {
		return ownership{}, false, nil
	}
	return ownership{epoch: s.epoch + 1}, true, nil
}

// own applies a claim, or a deletion when o is not claimed.
func (x *index) own(name string, o ownership) {
	x.mu.Lock()
	defer x.mu.Unlock()
	s := x.subscriptions[name]
	if s == nil {
		s = &subscription{cursors: make(map[msg.Key]Cursor)}
		x.subscriptions[name] = s
	}
	s.ownership = o
	if !o.claimed {
		s.cursors = make(map[msg.Key]Cursor)
	}
}

// move applies a save to a subscription that exists.
func (x *index) move(name string, entries []Entry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	cursors := x.subscriptions[name].cursors
	for i := range entries {
		cursors[entries[i].Key] = entries[i].Cursor
	}
}

// close makes all later calls fail and lets go of the memory.
func (x *index) close() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.closed = true
	x.subscriptions = nil
}

// load is the Load of the stores that keep everything in memory.
func (x *index) load(ctx context.Context, name string, keys []msg.Key) ([]Cursor, error) {
	if err := begin(ctx, "loading", name); err != nil {
		return nil, err
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.closed {
		return nil, ErrClosed
	}
	cursors := make([]Cursor, len(keys))
	if s := x.subscriptions[name]; s != nil {
		for i := range keys {
			cursors[i] = s.cursors[keys[i]]
		}
	}
	return cursors, nil
}

// scanPage bounds how long a scan keeps writers waiting.
const scanPage = 1024

// scan holds the keys, and no lock while the loop body runs, since that may
// save.
func (x *index) scan(ctx context.Context, name string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		keys, err := x.keys(ctx, name)
		for err == nil && len(keys) > 0 {
			n := min(len(keys), scanPage)
			var page []Entry
			if page, err = x.page(ctx, name, keys[:n]); err != nil {
				break
			}
			for _, e := range page {
				if !yield(e, nil) {
					return
				}
			}
			keys = keys[n:]
		}
		if err != nil {
			yield(Entry{}, err)
		}
	}
}

func (x *index) keys(ctx context.Context, name string) ([]msg.Key, error) {
	if err := begin(ctx, "scanning", name); err != nil {
		return nil, err
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.closed {
		return nil, ErrClosed
	}
	s := x.subscriptions[name]
	if s == nil {
		return nil, nil
	}
	keys := make([]msg.Key, 0, len(s.cursors))
	for k := range s.cursors {
		keys = append(keys, k)
	}
	return keys, nil
}

// page leaves out what was deleted since the keys were taken.
func (x *index) page(ctx context.Context, name string, keys []msg.Key) ([]Entry, error) {
	if err := begin(ctx, "scanning", name); err != nil {
		return nil, err
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.closed {
		return nil, ErrClosed
	}
	page := make([]Entry, 0, len(keys))
	for _, k := range keys {
		if c, ok := x.subscriptions[name].cursors[k]; ok {
			page = append(page, Entry{Key: k, Cursor: c})
		}
	}
	return page, nil
}

// begin refuses a call that should not start.
func begin(ctx context.Context, doing, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("checkpoint: %s %q: %w", doing, name, err)
	}
	return nil
}

// replay applies a change read from a log, which must be one that could have
// been made.
func (x *index) replay(c change) error {
	s := x.subscriptions[c.name]
	switch {
	case c.own != nil && s != nil && c.own.epoch <= s.epoch:
		return fmt.Errorf("epoch %d of %q follows epoch %d", c.own.epoch, c.name, s.epoch)
	case c.own != nil:
		x.own(c.name, *c.own)
	case s == nil || !s.claimed:
		return fmt.Errorf("cursors of %q, which is not claimed", c.name)
	default:
		x.move(c.name, c.entries)
	}
	return nil
}

// dump hands out everything: for each subscription its ownership, then its
// cursors in slices of at most chunk entries, which are reused.
func (x *index) dump(chunk int, visit func(name string, own *ownership, entries []Entry) error) error {
	x.mu.RLock()
	defer x.mu.RUnlock()
	entries := make([]Entry, 0, chunk)
	for name, s := range x.subscriptions {
		if err := visit(name, &s.ownership, nil); err != nil {
			return err
		}
		for k, c := range s.cursors {
			if entries = append(entries, Entry{Key: k, Cursor: c}); len(entries) < chunk {
				continue
			}
			if err := visit(name, nil, entries); err != nil {
				return err
			}
			entries = entries[:0]
		}
		if len(entries) > 0 {
			if err := visit(name, nil, entries); err != nil {
				return err
			}
			entries = entries[:0]
		}
	}
	return nil
}

// extent counts the cursors and roughly the bytes that a log of them takes.
func (x *index) extent() (cursors int, bytes int64) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	bytes = headerSize
	for name, s := range x.subscriptions {
		cursors += len(s.cursors)
		bytes += int64(2*moveSize(name, 0) + len(s.scope) + len(s.cursors)*entrySize)
	}
	return cursors, bytes
}
