package checkpointtest_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/checkpointtest"
	"github.com/celeriant/celeriant-go/msg"
)

// platter is the storage behind flawed stores: it outlives them.
type platter struct {
	mu   sync.Mutex
	subs map[string]sub
	luck luck
	// effects is the counter of transactors.
	effects int
	// watchers wait for signals.
	watchers []watcher
}

type sub struct {
	epoch   uint64
	token   checkpoint.Token
	claimed bool
	scope   string
	cursors map[msg.Key]checkpoint.Cursor
	records map[string][]byte
}

// owns tells whether the claim is the newest of the whole.
func (u sub) owns(o checkpoint.Owner) bool {
	return u.epoch == o.Epoch && u.token == o.Token && u.claimed
}

func (p *platter) copy() map[string]sub {
	subs := maps.Clone(p.subs)
	for n, s := range subs {
		s.cursors, s.records = maps.Clone(s.cursors), maps.Clone(s.records)
		subs[n] = s
	}
	return subs
}

// flawed is a plain store with one fault, or none.
type flawed struct {
	*platter
	fault  string
	closed bool
	// scanning makes calls fail, for the faults in which they would hang.
	scanning bool
}

func (s *flawed) has(fault string) bool { return s.fault == fault }

// fixture returns a fixture of stores with the fault.
func fixture(fault string) checkpointtest.Fixture {
	p := newPlatter()
	return checkpointtest.Fixture{
		Durable:  true,
		Shared:   true,
		Records:  true,
		Notifies: true,
		Open: func(context.Context) (checkpoint.Store, error) {
			s := &flawed{platter: p, fault: fault}
			p.mu.Lock()
			defer p.mu.Unlock()
			for n, u := range p.subs {
				if s.has("cursors lost at reopening") {
					u.cursors = map[msg.Key]checkpoint.Cursor{}
				}
				if s.has("records lost at reopening") {
					u.records = map[string][]byte{}
				}
				if s.has("epochs lost at reopening") {
					u.epoch = 0
				}
				if s.has("deletions lost at reopening") && !u.claimed {
					u.epoch, u.claimed = u.epoch-1, true
				}
				p.subs[n] = u
			}
			if fault == "handles have fences of their own" {
				return &flawed{platter: newPlatter(), fault: fault}, nil
			}
			return s, nil
		},
		Begin: func(_ context.Context, store checkpoint.Store) (checkpointtest.Tx, error) {
			s := store.(*flawed)
			s.mu.Lock()
			return &flawedTx{store: s, before: s.copy()}, nil
		},
		Transactor: func(_ context.Context, store checkpoint.Store) (checkpointtest.Transactor, error) {
			return &flawedTransactor{store.(*flawed)}, nil
		},
	}
}

func (s *flawed) begin(ctx context.Context, name string) error {
	if !s.has("bad names accepted") {
		if err := checkpoint.CheckName(name); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil && !s.has("context ignored") {
		return err
	}
	if s.closed && !s.has("works on when closed") {
		return checkpoint.ErrClosed
	}
	if s.scanning {
		return errors.New("locked by a scan")
	}
	return nil
}

func (s *flawed) name(n string) string {
	if s.has("names cut at 254 bytes") {
		return n[:min(len(n), 254)]
	}
	if s.has("names not told apart") {
		return "all"
	}
	return n
}

func (s *flawed) Acquire(ctx context.Context, c checkpoint.Claim) (checkpoint.Owner, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := c.Check()
	if _, bad := err.(*checkpoint.ScopeTextError); bad && !s.has("bad scopes accepted") {
		return checkpoint.Owner{}, err
	}
	if err := s.begin(ctx, c.Name); err != nil {
		return checkpoint.Owner{}, err
	}
	n := s.name(c.Name)
	if s.has("two steps without a lock") {
		s.awaitHalfSaved(n)
	}
	u := s.subs[n]
	if u.cursors == nil {
		u.cursors, u.records = map[msg.Key]checkpoint.Cursor{}, map[string][]byte{}
	}
	by, superseded, _ := checkpoint.ParseSupersession(c.Name, u.scope)
	superseded = superseded && !s.has("cut-overs forgotten")
	replaced := c.Adopt && !superseded && !s.has("adoption refused") || slices.Contains(c.Replaces, u.scope)
	if u.claimed && u.scope != c.Scope && !s.has("rescoping keeps the leases") {
		defer func(before sub) {
			if u := s.subs[n]; u.scope != before.scope {
				maps.DeleteFunc(u.records, func(key string, _ []byte) bool { return strings.HasPrefix(key, checkpoint.PartitionPrefix) })
			}
		}(u)
	}
	if u.claimed && u.scope != c.Scope && !replaced && !s.has("scopes not compared") {
		if s.has("refused claims fence") {
			u.epoch++
			s.subs[n] = u
		}
		if superseded {
			return checkpoint.Owner{}, &checkpoint.SupersededError{Name: c.Name, By: by.By}
		}
		return checkpoint.Owner{}, &checkpoint.ScopeError{Name: c.Name, Stored: u.scope, Wanted: c.Scope}
	}
	if c.Adopt && s.has("adoption forgets") {
		u.cursors = map[msg.Key]checkpoint.Cursor{}
	}
	u.claimed, u.scope = true, c.Scope
	if s.has("scopes cut at 1000 bytes") {
		u.scope = c.Scope[:min(len(c.Scope), 1000)]
	}
	if !s.has("epochs stay") || u.epoch == 0 {
		u.epoch++
	}
	u.token = checkpoint.NewToken()
	s.subs[n] = u
	s.luck.turn(&s.luck.acquired)
	s.signal(n)
	owner := checkpoint.Owner{Name: c.Name, Epoch: u.epoch, Token: u.token}
	if s.has("an acquisition returns before it fences") && u.epoch > 1 {
		u.epoch--
		s.subs[n] = u
	}
	return owner, nil
}

func (s *flawed) Load(ctx context.Context, name string, keys []msg.Key) ([]checkpoint.Cursor, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.begin(ctx, name); err != nil {
		return nil, err
	}
	got, err := s.load(name, keys)
	s.finishSave(name)
	s.luck.turn(&s.luck.loads)
	return got, err
}

func (s *flawed) load(name string, keys []msg.Key) ([]checkpoint.Cursor, error) {
	if len(keys) > 65_535 && s.has("look-ups are limited") {
		return nil, fmt.Errorf("%d keys are too many", len(keys))
	}
	if s.has("an unknown name is an error") && s.subs[name].cursors == nil {
		return nil, fmt.Errorf("no subscription %q", name)
	}
	got := make([]checkpoint.Cursor, len(keys))
	for i, k := range keys {
		got[i] = s.subs[s.name(name)].cursors[k]
	}
	if s.has("look-ups skip what is absent") {
		got = slices.DeleteFunc(got, checkpoint.Cursor.IsZero)
	}
	return got, nil
}

func (s *flawed) Save(ctx context.Context, o checkpoint.Owner, entries []checkpoint.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.begin(ctx, o.Name); err != nil {
		return err
	}
	if o.Leased {
		return s.apply(o.Name, checkpoint.Mutation{Owners: []checkpoint.Owner{o}, Entries: entries})
	}
	defer s.signal(o.Name)
	switch {
	case s.has("two steps without a lock"):
		return s.saveInTwoSteps(o, entries)
	case s.has("order checked before the lock"):
		return s.saveCrossed(o, entries)
	}
	return s.save(o, entries)
}

func (s *flawed) save(o checkpoint.Owner, entries []checkpoint.Entry) error {
	u := s.subs[s.name(o.Name)]
	m := checkpoint.Mutation{Owners: []checkpoint.Owner{o}, Entries: entries}
	if err := m.Check(o.Name); err != nil && !s.has("cursors beyond the limit stored") {
		if _, beyond := err.(*checkpoint.CursorError); beyond {
			return err
		}
	}
	stale := !u.owns(o)
	switch {
	case s.has("tokens not compared"):
		stale = u.epoch != o.Epoch || !u.claimed
	case s.has("no fence"):
		stale = false
	case s.has("only older epochs fenced"):
		stale = o.Epoch < u.epoch || u.cursors == nil
	case s.has("one fence for all"):
		for _, other := range s.subs {
			stale = stale || other.epoch > o.Epoch
		}
	case s.has("empty saves unchecked") && len(entries) == 0:
		return nil
	}
	if stale && !s.has("regressions before the fence") {
		return &checkpoint.FencedError{Owner: o, Newest: u.epoch, Deleted: u.epoch > 0 && !u.claimed}
	}
	if u.cursors == nil {
		u.cursors, u.records = map[msg.Key]checkpoint.Cursor{}, map[string][]byte{}
		s.subs[s.name(o.Name)] = u
	}
	moved, err := s.advance(u, entries)
	if err == nil && stale {
		err = checkpoint.ErrFenced
	}
	if err != nil {
		return err
	}
	for i, e := range moved {
		if s.has("hashes cut to 63 bits") {
			e.Cursor.Anchor.Hash &= 1<<63 - 1
		}
		if s.has("aggregates told apart by 8 bytes") {
			clear(e.Key.Aggregate[:8])
		}
		if s.has("organisations not told apart") {
			e.Key.Org = msg.ID{}
		}
		u.cursors[e.Key] = e.Cursor
		if s.has("entries changed") {
			moved[i] = checkpoint.Entry{}
		}
	}
	return nil
}

func (s *flawed) advance(u sub, entries []checkpoint.Entry) ([]checkpoint.Entry, error) {
	switch s.fault {
	case "no order at all":
		return entries, nil
	case "zero cursors stored":
		for _, e := range entries {
			if e.Cursor.IsZero() && u.cursors[e.Key].IsZero() {
				u.cursors[e.Key] = e.Cursor
			}
		}
	case "versions compared by 32 bits":
		for _, e := range entries {
			stored := u.cursors[e.Key]
			if e.Cursor.Life < stored.Life || e.Cursor.Life == stored.Life && uint32(e.Cursor.Version) < uint32(stored.Version) {
				return nil, &checkpoint.RegressionError{Key: e.Key, Stored: stored, Offered: e.Cursor}
			}
		}
		return entries, nil
	case "lives not compared":
		for _, e := range entries {
			stored := u.cursors[e.Key]
			if e.Cursor.Version < stored.Version || stored.Deleted && !e.Cursor.Deleted && stored.Life == e.Cursor.Life {
				return nil, &checkpoint.RegressionError{Key: e.Key, Stored: stored, Offered: e.Cursor}
			}
		}
		return entries, nil
	case "equal overwrites":
		for _, e := range entries {
			if e.Cursor.Compare(u.cursors[e.Key]) == 0 && !e.Cursor.IsZero() {
				u.cursors[e.Key] = e.Cursor
			}
		}
	case "equal refused":
		for _, e := range entries {
			if stored := u.cursors[e.Key]; e.Cursor.Compare(stored) == 0 {
				return nil, &checkpoint.RegressionError{Key: e.Key, Stored: stored, Offered: e.Cursor}
			}
		}
	case "starts not compared":
		entries = slices.Clone(entries)
		for i := range entries {
			entries[i].Compare = false
			if entries[i].Cursor.Compare(u.cursors[entries[i].Key]) < 0 {
				entries[i].Cursor = u.cursors[entries[i].Key]
			}
		}
	case "what is applied is taken for a regression":
		moved, err := checkpoint.Advance(entries, s.stored(u, entries))
		if applied, ok := err.(*checkpoint.AppliedError); ok {
			err = &checkpoint.RegressionError{Key: applied.Key, Stored: applied.Stored, Offered: applied.Offered}
		}
		return moved, err
	case "applied up to the refused entry", "checked by portions of 1000":
		portion := 1
		if s.has("checked by portions of 1000") {
			portion = 1000
		}
		for p := range slices.Chunk(entries, portion) {
			moved, err := checkpoint.Advance(p, s.stored(u, p))
			if err != nil {
				return nil, err
			}
			for _, e := range moved {
				u.cursors[e.Key] = e.Cursor
			}
		}
		return nil, nil
	case "first of a key wins":
		seen := map[msg.Key]bool{}
		entries = slices.DeleteFunc(slices.Clone(entries), func(e checkpoint.Entry) bool {
			again := seen[e.Key]
			seen[e.Key] = true
			return again
		})
	case "of one key's entries only the last checked":
		slices.Reverse(entries)
		seen := map[msg.Key]bool{}
		last := slices.DeleteFunc(slices.Clone(entries), func(e checkpoint.Entry) bool {
			again := seen[e.Key]
			seen[e.Key] = true
			return again
		})
		slices.Reverse(entries)
		entries = last
	}
	return checkpoint.Advance(entries, s.stored(u, entries))
}

func (s *flawed) stored(u sub, entries []checkpoint.Entry) []checkpoint.Cursor {
	stored := make([]checkpoint.Cursor, len(entries))
	for i, e := range entries {
		stored[i] = u.cursors[e.Key]
	}
	return stored
}

func (s *flawed) Scan(ctx context.Context, name string) iter.Seq2[checkpoint.Entry, error] {
	return func(yield func(checkpoint.Entry, error) bool) {
		s.mu.Lock()
		err := s.begin(ctx, name)
		cursors := maps.Clone(s.subs[s.name(name)].cursors)
		s.scanning = s.has("scans hold the lock")
		s.mu.Unlock()
		left := false
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.scanning = left && s.has("scans that are left keep the lock")
		}()
		if err != nil {
			yield(checkpoint.Entry{}, err)
			return
		}
		n := 0
		for k, c := range cursors {
			if err := ctx.Err(); err != nil && !s.has("scans ignore the context") {
				yield(checkpoint.Entry{}, err)
				return
			}
			if n++; s.has("scans end early") && n > 1000 || !yield(checkpoint.Entry{Key: k, Cursor: c}, nil) {
				left = true
				return
			}
			if s.has("scans repeat") && n == 1000 && !yield(checkpoint.Entry{Key: k, Cursor: c}, nil) {
				return
			}
		}
	}
}

func (s *flawed) Delete(ctx context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.begin(ctx, name); err != nil {
		return err
	}
	n := s.name(name)
	u := s.subs[n]
	switch {
	case u.epoch == 0:
		return nil
	case s.has("deleting forgets the epoch"):
		delete(s.subs, n)
		return nil
	case s.has("deleting keeps the scope"):
	default:
		u.claimed = false
	}
	if !s.has("deleting keeps the cursors") {
		u.cursors = map[msg.Key]checkpoint.Cursor{}
	}
	if !s.has("deleting keeps the records") {
		u.records = map[string][]byte{}
	}
	u.epoch++
	s.subs[n] = u
	s.signal(n)
	if s.has("deleting takes neighbours along") {
		for other, v := range s.subs {
			if len(other) > len(n) && other[:len(n)] == n {
				clear(v.cursors)
			}
		}
	}
	return nil
}

func (s *flawed) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

// flawedTx holds the store's lock from its beginning to its end.
type flawedTx struct {
	store  *flawed
	before map[string]sub
	saved  []checkpoint.Entry
	done   bool
}

func (t *flawedTx) Save(_ context.Context, o checkpoint.Owner, entries []checkpoint.Entry) error {
	s := t.store
	if o.Leased {
		return s.apply(o.Name, checkpoint.Mutation{Owners: []checkpoint.Owner{o}, Entries: entries})
	}
	if s.has("transactions unfenced") {
		o.Epoch, o.Token = s.subs[o.Name].epoch, s.subs[o.Name].token
	}
	if s.has("refused saves stay in the transaction") {
		for _, e := range entries {
			if e.Cursor.Compare(s.subs[o.Name].cursors[e.Key]) > 0 {
				s.subs[o.Name].cursors[e.Key] = e.Cursor
			}
		}
	}
	if s.has("transactions save elsewhere") {
		t.saved = append(t.saved, entries...)
		o.Epoch, o.Token = s.subs[o.Name].epoch, s.subs[o.Name].token
		entries = nil
	}
	return s.save(o, entries)
}

func (t *flawedTx) Load(_ context.Context, name string, keys []msg.Key) ([]checkpoint.Cursor, error) {
	return t.store.load(name, keys)
}

func (t *flawedTx) Commit() error {
	s := t.store
	if s.has("commits lost") {
		return t.Rollback()
	}
	t.done = true
	if s.has("commits come after the lock") {
		defer s.mu.Unlock()
		after := s.subs
		s.subs = t.before
		s.awaitTakeover()
		for n, u := range s.subs {
			maps.Copy(u.cursors, after[n].cursors)
			maps.Copy(u.records, after[n].records)
		}
		return nil
	}
	s.mu.Unlock()
	return nil
}

func (t *flawedTx) Rollback() error {
	if t.done {
		return nil
	}
	t.done = true
	s := t.store
	if !s.has("roll-backs ignored") {
		s.subs = t.before
	}
	s.mu.Unlock()
	return nil
}
