package sqlcore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/internal/notify"
	"github.com/celeriant/celeriant-go/msg"
)

// Options are the choices of a store.
type Options struct {
	// Package begins the texts of errors.
	Package string
	// Prefix begins the names of the tables.
	Prefix string
	// Schema has the tables; empty means where they are found.
	Schema string
	// Idle bounds at the server how long a transaction that holds a fence may be
	// idle, where the database can; not positive means that nothing is bounded.
	Idle time.Duration
	// Committed, if not nil, is called after each commit with changes, with the
	// name they are of.
	Committed func(name string)
	// Passing recognises further errors that pass; nil means none.
	Passing func(error) bool
}

// Store is the store, whatever brings the connections.
type Store struct {
	db      Database
	dialect Dialect
	options Options
	text    *statements
	hub     notify.Hub
	closed  atomic.Bool
}

// Open returns a store in db. Open creates the tables if they are missing and
// brings those of earlier releases to the present format.
func Open(ctx context.Context, db Database, dialect Dialect, options Options) (*Store, error) {
	if options.Prefix == "" {
		options.Prefix = "celeriant_"
	}
	s := &Store{db: db, dialect: dialect, options: options}
	if dialect < SQLite || dialect > MySQL {
		return nil, fmt.Errorf("%s: unknown %v", options.Package, dialect)
	}
	if err := checkPrefix(options.Prefix); err != nil {
		return nil, fmt.Errorf("%s: %w", options.Package, err)
	}
	if err := s.open(ctx); err != nil {
		return nil, s.explain(ctx, "opening", "", err)
	}
	return s, nil
}

// SQLite does not wait, whatever its busy_timeout says, for a process that opens or
// leaves the same file and changes the mode of its journal meanwhile.
const (
	openPatience = 5 * time.Second
	openPause    = 20 * time.Millisecond
)

// open finds the tables and sees that they are there. A lock of another process that
// opens the same file is waited for.
func (s *Store) open(ctx context.Context) error {
	for began := time.Now(); ; {
		err := s.find(ctx)
		if err == nil || s.dialect != SQLite || !busy(err) || time.Since(began) >= openPatience {
			return err
		}
		select {
		case <-time.After(openPause):
		case <-ctx.Done():
			return err
		}
	}
}

func (s *Store) find(ctx context.Context) (err error) {
	if s.options.Schema, err = place(ctx, s.db, s.dialect, s.options); err != nil {
		return err
	}
	s.text = s.dialect.statements(s.options)
	return s.prepare(ctx)
}

// Acquire implements checkpoint.Store.
func (s *Store) Acquire(ctx context.Context, claim checkpoint.Claim) (checkpoint.Owner, error) {
	if err := claim.Check(); err != nil {
		return checkpoint.Owner{}, err
	}
	var owner checkpoint.Owner
	err := s.update(ctx, "acquiring", claim.Name, func(c Conn) (bool, error) {
		if _, err := c.Exec(ctx, s.text.enter, claim.Name); err != nil {
			return false, err
		}
		id, o, _, err := s.ownership(ctx, c, s.text.lock, []any{claim.Name})
		if err != nil {
			return false, err
		}
		next, rescoped, err := o.Claim(claim, checkpoint.NewToken())
		if err != nil {
			return false, err
		}
		if rescoped {
			if _, err := c.Exec(ctx, s.text.dropPrefix, below(id, checkpoint.PartitionPrefix)...); err != nil {
				return false, err
			}
		}
		owner = next.Owner(claim.Name)
		return true, s.own(ctx, c, id, next)
	})
	if err != nil {
		return checkpoint.Owner{}, err
	}
	return owner, nil
}

// ownership reads a subscription's row with one of the texts that do, and what the text
// has behind it into more.
func (s *Store) ownership(ctx context.Context, c Conn, text string, args []any, more ...any) (id int64, o checkpoint.Ownership, found bool, err error) {
	var epoch int64
	var token []byte
	var scope *string
	into := append([]any{&id, &epoch, &token, &scope}, more...)
	var setting string
	if s.bounded(text) {
		into = append([]any{&setting}, into...)
	}
	if found, err = one(ctx, c, text, args, into...); err != nil || !found {
		return 0, checkpoint.Ownership{}, false, err
	}
	if setting == "1" && s.text.bindIdle != "" {
		if _, err := c.Exec(ctx, s.text.bindIdle); err != nil {
			return 0, checkpoint.Ownership{}, false, err
		}
	}
	o = checkpoint.Ownership{Epoch: uint64(epoch), Claimed: scope != nil}
	if scope != nil {
		o.Scope = *scope
	}
	if len(token) != 0 && len(token) != len(o.Token) {
		reason := fmt.Sprintf("a token of %d bytes instead of %d", len(token), len(o.Token))
		return 0, checkpoint.Ownership{}, false, &checkpoint.DamagedError{Where: s.where("subscriptions"), Offset: -1, Reason: reason}
	}
	copy(o.Token[:], token)
	return id, o, true, nil
}

// bounded tells the texts whose first column is a setting.
func (s *Store) bounded(text string) bool {
	return s.dialect != SQLite && s.options.Idle > 0 && (text == s.text.lock || text == s.text.share || text == s.text.enterFence || text == s.text.enterPartition)
}

func (s *Store) own(ctx context.Context, c Conn, id int64, o checkpoint.Ownership) error {
	var token []byte
	var scope *string
	if o.Claimed {
		token, scope = o.Token[:], &o.Scope
	}
	_, err := c.Exec(ctx, s.text.own, int64(o.Epoch), token, scope, id)
	return err
}

// Load implements checkpoint.Store, with one query for every 512 keys.
func (s *Store) Load(ctx context.Context, name string, keys []msg.Key) ([]checkpoint.Cursor, error) {
	return s.LoadIn(ctx, s.db, name, keys)
}

// LoadIn is Load in a transaction of the caller's.
func (s *Store) LoadIn(ctx context.Context, c Conn, name string, keys []msg.Key) ([]checkpoint.Cursor, error) {
	err := s.check(ctx, name)
	var cursors []checkpoint.Cursor
	if err == nil {
		cursors, err = s.load(ctx, c, &s.text.load, name, keys)
	}
	return cursors, s.explain(ctx, "loading", name, err)
}

// Save implements checkpoint.Store, in a transaction of its own.
func (s *Store) Save(ctx context.Context, owner checkpoint.Owner, entries []checkpoint.Entry) error {
	return s.Apply(ctx, owner.Name, checkpoint.Mutation{Owners: []checkpoint.Owner{owner}, Entries: entries})
}

// Apply implements checkpoint.RecordStore, in a transaction of its own.
func (s *Store) Apply(ctx context.Context, name string, m checkpoint.Mutation) error {
	if err := m.Check(name); err != nil {
		return err
	}
	return s.update(ctx, "changing", name, func(c Conn) (bool, error) { return s.apply(ctx, c, name, &m) })
}

// ApplyIn is Apply in a transaction of the caller's, which must roll back if
// raced is true: the transaction may then hold a part of the mutation.
func (s *Store) ApplyIn(ctx context.Context, c Conn, name string, m checkpoint.Mutation) (raced bool, err error) {
	if err := m.Check(name); err != nil {
		return false, err
	}
	if err := s.checkRecords(ctx, name); err != nil {
		return false, s.explain(ctx, "changing", name, err)
	}
	_, err = s.apply(ctx, c, name, &m)
	return errors.Is(err, errRaced), s.explain(ctx, "changing", name, err)
}

// Committed tells those who wait that a transaction of the caller's with changes
// of a subscription was committed.
func (s *Store) Committed(name string) {
	s.hub.Signal(name)
	if s.options.Committed != nil {
		s.options.Committed(name)
	}
}

// Tables names the tables, schema and prefix, for those who share them.
func (s *Store) Tables() string { return s.options.Schema + "." + s.options.Prefix }

// Scan implements checkpoint.Store, reads 512 cursors at a time and holds no
// connection while the loop body runs.
func (s *Store) Scan(ctx context.Context, name string) iter.Seq2[checkpoint.Entry, error] {
	return func(yield func(checkpoint.Entry, error) bool) {
		text, after := s.text.first, []any{name}
		for {
			err := s.check(ctx, name)
			var page []checkpoint.Entry
			if err == nil {
				page, err = s.page(ctx, text, after)
			}
			if err != nil {
				yield(checkpoint.Entry{}, s.explain(ctx, "scanning", name, err))
				return
			}
			for _, e := range page {
				if !yield(e, nil) {
					return
				}
			}
			if len(page) < maxPortion {
				return
			}
			text, after = s.nextPage(name, page[len(page)-1].Key)
		}
	}
}

// Delete implements checkpoint.Store. The records go first: those of the
// partitions are their owners' fences.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := checkpoint.CheckName(name); err != nil {
		return err
	}
	return s.update(ctx, "deleting", name, func(c Conn) (bool, error) {
		id, o, found, err := s.ownership(ctx, c, s.text.lock, []any{name})
		if err != nil || !found {
			return false, err
		}
		for _, text := range []string{s.text.forgetRecords, s.text.forgetCursors} {
			if _, err := c.Exec(ctx, text, id); err != nil {
				return false, err
			}
		}
		return true, s.own(ctx, c, id, o.Delete())
	})
}

// Describe implements checkpoint.RecordStore.
func (s *Store) Describe(ctx context.Context, name string) (checkpoint.Ownership, error) {
	err := s.check(ctx, name)
	var o checkpoint.Ownership
	if err == nil {
		_, o, _, err = s.ownership(ctx, s.db, s.text.read, []any{name})
	}
	return o, s.explain(ctx, "describing", name, err)
}

// Names implements checkpoint.RecordStore.
func (s *Store) Names(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		after := ""
		for {
			page, err := s.subscribed(ctx, after)
			if err != nil {
				yield("", s.explain(ctx, "listing the names of", "", err))
				return
			}
			for _, name := range page {
				if !yield(name, nil) {
					return
				}
			}
			if len(page) < maxPortion {
				return
			}
			after = page[len(page)-1]
		}
	}
}

func (s *Store) subscribed(ctx context.Context, after string) (names []string, err error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	err = s.db.Query(ctx, s.text.subscribed, []any{after}, func(r Row) error {
		var name string
		err := r.Scan(&name)
		names = append(names, name)
		return err
	})
	return names, err
}

// pollInterval is how often those who wait look without a signal: commits of
// other processes give none.
const pollInterval = 250 * time.Millisecond

// Notify implements checkpoint.Notifier: by signals from commits of this process,
// and besides four times a second.
func (s *Store) Notify(ctx context.Context, name string) (<-chan struct{}, error) {
	if err := s.checkRecords(ctx, name); err != nil {
		return nil, s.explain(ctx, "watching", name, err)
	}
	return s.hub.Poll(ctx, name, pollInterval), nil
}

// Hub is what signals go through.
func (s *Store) Hub() *notify.Hub { return &s.hub }

// Close implements checkpoint.Store. The database stays open, and calls at work
// in it go on to their end.
func (s *Store) Close() error {
	s.closed.Store(true)
	return nil
}

// check refuses what should not start.
func (s *Store) check(ctx context.Context, name string) error {
	if err := checkpoint.CheckName(name); err != nil {
		return err
	}
	return s.ready(ctx)
}

// checkRecords is check for calls that take the store's own name, too.
func (s *Store) checkRecords(ctx context.Context, name string) error {
	if name == "" {
		return s.ready(ctx)
	}
	return s.check(ctx, name)
}

func (s *Store) ready(ctx context.Context) error {
	if s.closed.Load() {
		return checkpoint.ErrClosed
	}
	return ctx.Err()
}

// attempts bounds how often a transaction of the store's own is repeated because
// others came between.
const attempts = 10

// update runs do in a transaction that commits what it changed.
func (s *Store) update(ctx context.Context, doing, name string, do func(Conn) (changed bool, err error)) error {
	if err := s.checkRecords(ctx, name); err != nil {
		return s.explain(ctx, doing, name, err)
	}
	changed := false
	var err error
	for range attempts {
		err = s.db.InTx(ctx, func(c Conn) (bool, error) {
			var err error
			changed, err = do(c)
			return changed, err
		})
		if !errors.Is(err, errRaced) && !conflict(err) || ctx.Err() != nil {
			break
		}
	}
	if err == nil && changed {
		s.Committed(name)
	}
	return s.explain(ctx, doing, name, err)
}
