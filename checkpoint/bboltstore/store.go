package bboltstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/internal/notify"
	"github.com/celeriant/celeriant-go/msg"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Options are the choices of a store. The zero value is a good one.
type Options struct {
	// Bucket is the root bucket; empty means "celeriant.checkpoints".
	Bucket string
	// LockTimeout is how long Open waits for another process that has the file
	// open; 0 means one second. The context cannot interrupt it. New ignores it.
	LockTimeout time.Duration
	// NoSync, for Open only, leaves flushing to the operating system. A save
	// that returned survives the death of the process but not that of the machine,
	// after which the file may be damaged.
	NoSync bool
}

// Store is a checkpoint.RecordStore in a bbolt database.
//
// bbolt has one writer at a time in the whole database: Acquire, Save and
// Delete wait for it, and stop waiting when their context ends. Load and Scan
// wait for nobody. Do not call Acquire, Save or Delete inside a transaction
// that writes, on the same goroutine: they would wait for it for ever, or until
// the context ends. Use SaveTx there.
type Store struct {
	db   *bbolt.DB
	root []byte
	// own tells that Close closes the database.
	own    bool
	closed atomic.Bool
	hub    notify.Hub
}

var (
	_ checkpoint.RecordStore = (*Store)(nil)
	_ checkpoint.Notifier    = (*Store)(nil)
	_ checkpoint.Exclusive   = (*Store)(nil)
)

// Open opens the database at path, creating it if it does not exist, and a
// store in it. The error is a [*checkpoint.LockedError] if the file is open
// elsewhere, a [*checkpoint.VersionError] if the layout is another release's,
// and bbolt's own errors, which name what is wrong with the file.
func Open(ctx context.Context, path string, options Options) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("bboltstore: opening %s: %w", path, err)
	}
	if options.LockTimeout <= 0 {
		options.LockTimeout = time.Second
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: options.LockTimeout,
		NoSync:  options.NoSync,
		// The free list is rebuilt at opening; saves get a third faster.
		NoFreelistSync: true,
	})
	if errors.Is(err, berrors.ErrTimeout) {
		err = &checkpoint.LockedError{Path: path}
	}
	if err != nil {
		return nil, fmt.Errorf("bboltstore: opening %s: %w", path, err)
	}
	s, err := New(ctx, db, options)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s.own = true
	return s, nil
}

// New returns a store in a database that the caller opened and will close,
// after the store. New creates the root bucket, or checks its version.
func New(ctx context.Context, db *bbolt.DB, options Options) (*Store, error) {
	if options.Bucket == "" {
		options.Bucket = "celeriant.checkpoints"
	}
	s := &Store{db: db, root: []byte(options.Bucket)}
	if err := s.write(ctx, s.prepare); err != nil {
		return nil, s.explain("opening", "", err)
	}
	return s, nil
}

// Acquire implements checkpoint.Store.
func (s *Store) Acquire(ctx context.Context, claim checkpoint.Claim) (checkpoint.Owner, error) {
	if err := claim.Check(); err != nil {
		return checkpoint.Owner{}, err
	}
	var owner checkpoint.Owner
	err := s.update(ctx, "acquiring", claim.Name, func(tx *bbolt.Tx) (bool, error) {
		l, err := s.layout(tx)
		if err != nil {
			return false, err
		}
		o, err := l.ownership(claim.Name)
		if err != nil {
			return false, err
		}
		next, rescoped, err := o.Claim(claim, checkpoint.NewToken())
		if err == nil && rescoped {
			err = l.dropPartitions(claim.Name)
		}
		if err != nil {
			return false, err
		}
		owner = next.Owner(claim.Name)
		return true, l.own(claim.Name, next)
	})
	if err != nil {
		return checkpoint.Owner{}, err
	}
	return owner, nil
}

// Load implements checkpoint.Store and sees one state of the database.
func (s *Store) Load(ctx context.Context, name string, keys []msg.Key) (cursors []checkpoint.Cursor, err error) {
	err = s.view(ctx, "loading", name, func(tx *bbolt.Tx) error {
		cursors, err = s.load(ctx, tx, name, keys)
		return err
	})
	return cursors, err
}

// LoadTx is Load inside the caller's transaction, whose saves it sees.
func (s *Store) LoadTx(tx *bbolt.Tx, name string, keys []msg.Key) ([]checkpoint.Cursor, error) {
	if err := s.check(name); err != nil {
		return nil, err
	}
	return s.load(context.Background(), tx, name, keys)
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
	return s.update(ctx, "changing", name, func(tx *bbolt.Tx) (bool, error) {
		return s.apply(tx, name, &m)
	})
}

// SaveTx is ApplyTx of cursors alone.
func (s *Store) SaveTx(tx *bbolt.Tx, owner checkpoint.Owner, entries []checkpoint.Entry) error {
	return s.ApplyTx(tx, owner.Name, checkpoint.Mutation{Owners: []checkpoint.Owner{owner}, Entries: entries})
}

// ApplyTx is Apply inside the caller's transaction, which must be one that
// writes: the mutation takes effect if and when it commits. ApplyTx changes
// nothing if it returns an error; the caller should then roll its own changes
// back. A transaction that writes excludes all others, so the fence holds until
// the commit. ApplyTx does not wait and so needs no context.
func (s *Store) ApplyTx(tx *bbolt.Tx, name string, m checkpoint.Mutation) error {
	if err := m.Check(name); err != nil {
		return err
	}
	if s.closed.Load() {
		return checkpoint.ErrClosed
	}
	if !tx.Writable() {
		return fmt.Errorf("bboltstore: changing %q: %w", name, berrors.ErrTxNotWritable)
	}
	_, err := s.apply(tx, name, &m)
	return s.explain("changing", name, err)
}

// Committed wakes those who wait with Notify, after a transaction with ApplyTx or
// SaveTx was committed, and never blocks.
func (s *Store) Committed(name string) { s.hub.Signal(name) }

// Records implements checkpoint.RecordStore. The time is the machine's.
func (s *Store) Records(ctx context.Context, name, prefix string) ([]checkpoint.Record, time.Time, error) {
	var records []checkpoint.Record
	err := s.viewRecords(ctx, "reading the records of", name, func(tx *bbolt.Tx) error {
		l, err := s.layout(tx)
		if err != nil {
			return err
		}
		return eachRecord(l.recordsOf(name), prefix, func(key, value []byte) error {
			records = append(records, checkpoint.Record{Key: string(key), Value: bytes.Clone(value), Revision: checkpoint.RevisionOf(value)})
			return nil
		})
	})
	if err != nil {
		return nil, time.Time{}, err
	}
	return records, time.Now(), nil
}

// Describe implements checkpoint.RecordStore.
func (s *Store) Describe(ctx context.Context, name string) (o checkpoint.Ownership, err error) {
	err = s.view(ctx, "describing", name, func(tx *bbolt.Tx) error {
		l, err := s.layout(tx)
		if err == nil {
			o, err = l.ownership(name)
		}
		return err
	})
	return o, err
}

// Names implements checkpoint.RecordStore and reads 1,024 names at a time.
func (s *Store) Names(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		const size = 1024
		var after []byte
		for more := true; more; {
			var names []string
			err := s.viewRecords(ctx, "listing the names of", "", func(tx *bbolt.Tx) (err error) {
				names, after, err = s.names(tx, after, size)
				return err
			})
			if err != nil {
				yield("", err)
				return
			}
			for _, name := range names {
				if !yield(name, nil) {
					return
				}
			}
			more = after != nil
		}
	}
}

// names returns the claimed names of the next size, and where to go on; nil at
// the end.
func (s *Store) names(tx *bbolt.Tx, after []byte, size int) (names []string, last []byte, err error) {
	l, err := s.layout(tx)
	if err != nil {
		return nil, nil, err
	}
	c := l.owners.Cursor()
	k, _ := c.Seek(after)
	if len(after) > 0 && bytes.Equal(k, after) {
		k, _ = c.Next()
	}
	for ; k != nil && size > 0; k, _ = c.Next() {
		o, err := l.ownership(string(k))
		if err != nil {
			return nil, nil, err
		}
		if o.Claimed {
			names = append(names, string(k))
		}
		last, size = bytes.Clone(k), size-1
	}
	if k == nil {
		last = nil
	}
	return names, last, nil
}

// Notify implements checkpoint.Notifier. Commits of this store's own transactions
// signal, and those that Committed tells of.
func (s *Store) Notify(ctx context.Context, name string) (<-chan struct{}, error) {
	if err := s.checkRecords(name); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("bboltstore: watching %q: %w", name, err)
	}
	return s.hub.Watch(ctx, name), nil
}

// Exclusive implements the interface of that name: bbolt locks the file.
func (s *Store) Exclusive() bool { return true }

// Scan implements checkpoint.Store and reads page by page, each in a
// transaction of its own: a long one would keep the file growing, and block a
// loop body that saves.
func (s *Store) Scan(ctx context.Context, name string) iter.Seq2[checkpoint.Entry, error] {
	return func(yield func(checkpoint.Entry, error) bool) {
		const size = 1024
		page := make([]checkpoint.Entry, 0, size)
		var after []byte
		for {
			err := s.view(ctx, "scanning", name, func(tx *bbolt.Tx) (err error) {
				page, err = s.page(tx, name, after, page[:0])
				return err
			})
			if err != nil {
				yield(checkpoint.Entry{}, err)
				return
			}
			for _, e := range page {
				if !yield(e, nil) {
					return
				}
			}
			if len(page) < size {
				return
			}
			after = checkpoint.AppendKey(after[:0], page[len(page)-1].Key)
		}
	}
}

// Delete implements checkpoint.Store.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := checkpoint.CheckName(name); err != nil {
		return err
	}
	return s.update(ctx, "deleting", name, func(tx *bbolt.Tx) (bool, error) {
		l, err := s.layout(tx)
		if err != nil {
			return false, err
		}
		o, err := l.ownership(name)
		if err != nil || o.Epoch == 0 {
			return false, err
		}
		if err := l.forget(name); err != nil {
			return false, err
		}
		return true, l.own(name, o.Delete())
	})
}

// Close implements checkpoint.Store and waits for all transactions of a
// database that Open opened. One given to New stays open, and calls at work in
// it go on to their end.
func (s *Store) Close() error {
	if s.closed.Swap(true) || !s.own {
		return nil
	}
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("bboltstore: closing %s: %w", s.db.Path(), err)
	}
	return nil
}
