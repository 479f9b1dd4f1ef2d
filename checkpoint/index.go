package checkpoint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint/internal/notify"
	"github.com/celeriant/celeriant-go/msg"
)

// subscription is what is known of one name.
type subscription struct {
	Ownership
	cursors map[msg.Key]Cursor
	records map[string][]byte
}

func newSubscription() *subscription {
	return &subscription{cursors: make(map[msg.Key]Cursor), records: make(map[string][]byte)}
}

// index holds subscriptions in memory; the one named "" has the store's own
// records. The index decides and applies; the caller makes changes durable in
// between, and sees to it that no other change comes between the decision and
// its application.
type index struct {
	mu            sync.RWMutex
	subscriptions map[string]*subscription
	closed        bool
	watchers      notify.Hub
}

func newIndex() *index { return &index{subscriptions: make(map[string]*subscription)} }

// claim decides what a claim makes of the subscription's ownership.
func (x *index) claim(c Claim) (next Ownership, rescoped bool, err error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.closed {
		return Ownership{}, false, ErrClosed
	}
	return x.ownership(c.Name).Claim(c, NewToken())
}

func (x *index) ownership(name string) Ownership {
	if s := x.subscriptions[name]; s != nil {
		return s.Ownership
	}
	return Ownership{}
}

// decide tells what a mutation changes.
func (x *index) decide(name string, m *Mutation) (Outcome, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.closed {
		return Outcome{}, ErrClosed
	}
	s := x.subscriptions[name]
	if s == nil {
		s = &subscription{}
	}
	stored := Stored{
		Ownership: s.Ownership,
		Cursors:   make([]Cursor, len(m.Entries)),
		Records:   make([][]byte, len(m.Records)),
	}
	stored.Partitions = make([][]byte, len(m.Owners))
	for i, o := range m.Owners {
		if o.Leased {
			stored.Partitions[i] = s.records[PartitionKey(o.Partition)]
		}
	}
	for i := range m.Entries {
		stored.Cursors[i] = s.cursors[m.Entries[i].Key]
	}
	for i := range m.Records {
		stored.Records[i] = s.records[m.Records[i].Key]
	}
	if m.Limit != nil {
		for key := range s.records {
			if m.Limit.counts(key) {
				stored.Limited++
			}
		}
	}
	return m.Decide(name, stored)
}

// forget decides what a deletion makes of the ownership; there is nothing to
// do for a name that does not exist.
func (x *index) forget(name string) (next Ownership, exists bool, err error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.closed {
		return Ownership{}, false, ErrClosed
	}
	s := x.subscriptions[name]
	if s == nil {
		return Ownership{}, false, nil
	}
	return s.Delete(), true, nil
}

// own applies a claim, or a deletion when o is not claimed.
func (x *index) own(name string, o Ownership, rescoped bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	s := x.subscriptions[name]
	if s == nil {
		s = newSubscription()
		x.subscriptions[name] = s
	}
	s.Ownership = o
	if !o.Claimed {
		clear(s.records)
		s.cursors = make(map[msg.Key]Cursor)
	}
	if rescoped {
		maps.DeleteFunc(s.records, func(key string, _ []byte) bool { return strings.HasPrefix(key, PartitionPrefix) })
	}
	x.watchers.Signal(name)
}

// apply applies the outcome of a mutation.
func (x *index) apply(name string, out Outcome) {
	x.mu.Lock()
	defer x.mu.Unlock()
	s := x.subscriptions[name]
	if s == nil { // the store's own records
		s = newSubscription()
		x.subscriptions[name] = s
	}
	for i := range out.Moved {
		s.cursors[out.Moved[i].Key] = out.Moved[i].Cursor
	}
	for i := range out.Records {
		if c := &out.Records[i]; c.Value == nil {
			delete(s.records, c.Key)
		} else {
			s.records[c.Key] = bytes.Clone(c.Value)
		}
	}
	x.watchers.Signal(name)
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
			if err := readable(keys[i], cursors[i]); err != nil {
				return nil, err
			}
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
			if err := readable(k, c); err != nil {
				return nil, err
			}
			page = append(page, Entry{Key: k, Cursor: c})
		}
	}
	return page, nil
}

// readable refuses a cursor that an earlier release stored although nothing can
// follow it. The rest of the store stays of use, and Delete removes it.
func readable(k msg.Key, c Cursor) error {
	if c.Storable() {
		return nil
	}
	return &DamagedError{Where: "the cursor of " + k.String(), Offset: -1, Reason: "it is at " + c.String()}
}

// records is the Records of the stores that keep everything in memory.
func (x *index) records(ctx context.Context, name, prefix string) ([]Record, time.Time, error) {
	if err := beginRecords(ctx, name); err != nil {
		return nil, time.Time{}, err
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.closed {
		return nil, time.Time{}, ErrClosed
	}
	var found []Record
	if s := x.subscriptions[name]; s != nil {
		for key, value := range s.records {
			if strings.HasPrefix(key, prefix) {
				found = append(found, Record{Key: key, Value: bytes.Clone(value), Revision: RevisionOf(value)})
			}
		}
	}
	slices.SortFunc(found, func(a, b Record) int { return strings.Compare(a.Key, b.Key) })
	return found, time.Now(), nil
}

// describe is the Describe of the stores that keep everything in memory.
func (x *index) describe(ctx context.Context, name string) (Ownership, error) {
	if err := begin(ctx, "describing", name); err != nil {
		return Ownership{}, err
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.closed {
		return Ownership{}, ErrClosed
	}
	return x.ownership(name), nil
}

// names is the Names of the stores that keep everything in memory.
func (x *index) names(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		names, err := x.claimed(ctx)
		for _, name := range names {
			if err = ctx.Err(); err != nil || !yield(name, nil) {
				break
			}
		}
		if err != nil {
			yield("", fmt.Errorf("checkpoint: listing names: %w", err))
		}
	}
}

func (x *index) claimed(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.closed {
		return nil, ErrClosed
	}
	var names []string
	for name, s := range x.subscriptions {
		if s.Claimed {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// notifyOf is the Notify of the stores that keep everything in memory.
func (x *index) notifyOf(ctx context.Context, name string) (<-chan struct{}, error) {
	if err := beginRecords(ctx, name); err != nil {
		return nil, err
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.closed {
		return nil, ErrClosed
	}
	return x.watchers.Watch(ctx, name), nil
}

// beginRecords is begin for calls that take the store's own name, too.
func beginRecords(ctx context.Context, name string) error {
	if name == "" {
		return ctx.Err()
	}
	return begin(ctx, "reading the records of", name)
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
	case c.own != nil && s != nil && c.own.Epoch <= s.Epoch:
		return fmt.Errorf("epoch %d of %q follows epoch %d", c.own.Epoch, c.name, s.Epoch)
	case c.own != nil:
		x.own(c.name, *c.own, c.rescoped)
	case c.name != "" && (s == nil || !s.Claimed):
		return fmt.Errorf("cursors or records of %q, which is not claimed", c.name)
	case c.name == "" && len(c.Moved) > 0:
		return errors.New("cursors of no subscription")
	default:
		x.apply(c.name, c.Outcome)
	}
	return nil
}

// dump hands out everything: for each subscription its ownership, unless it is
// the store's own, then its cursors in slices of at most chunk entries, which
// are reused, and its records one by one.
func (x *index) dump(chunk int, visit func(c change) error) error {
	x.mu.RLock()
	defer x.mu.RUnlock()
	entries := make([]Entry, 0, chunk)
	for name, s := range x.subscriptions {
		if name != "" {
			if err := visit(change{name: name, own: &s.Ownership}); err != nil {
				return err
			}
		}
		for k, c := range s.cursors {
			if entries = append(entries, Entry{Key: k, Cursor: c}); len(entries) < chunk {
				continue
			}
			if err := visit(change{name: name, Outcome: Outcome{Moved: entries}}); err != nil {
				return err
			}
			entries = entries[:0]
		}
		if len(entries) > 0 {
			if err := visit(change{name: name, Outcome: Outcome{Moved: entries}}); err != nil {
				return err
			}
			entries = entries[:0]
		}
		for key, value := range s.records {
			record := []RecordChange{{Key: key, Value: value}}
			if err := visit(change{name: name, Outcome: Outcome{Records: record}}); err != nil {
				return err
			}
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
		bytes += int64(2*applySize(name, 0) + len(s.Scope) + len(s.cursors)*entrySize)
		for key, value := range s.records {
			bytes += int64(applySize(name, 0) + recordSize + len(key) + len(value))
		}
	}
	return cursors, bytes
}
