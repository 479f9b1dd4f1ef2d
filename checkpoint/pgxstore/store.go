package pgxstore

import (
	"context"
	"iter"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/internal/sqlcore"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrBusy: the database could not serve this transaction beside others: a
// serialization failure, a deadlock or a lock timeout, or another transaction of
// the same owner that wrote first. Nothing of it was applied; roll it back and
// repeat it.
var ErrBusy = sqlcore.ErrBusy

// DefaultIdle is how long a transaction that holds a fence may be idle unless
// told otherwise: half a lease's usual time to live.
const DefaultIdle = 7500 * time.Millisecond

// Options are the choices of a store. The zero value is a good one.
type Options struct {
	// Prefix begins the names of the tables: 1 to 32 of a-z, 0-9 and _,
	// beginning with a letter. Empty means "celeriant_". Stores of different
	// prefixes in one database do not see each other.
	Prefix string
	// Schema has the tables. Empty means the one in which they are found when the
	// store is opened, otherwise the one in which they would be created; from then
	// on the search path of a connection does not matter.
	Schema string
	// Idle bounds at the server how long a transaction that holds a fence may be
	// idle, so that a process that stops in the middle of one gives its lock back;
	// 0 means DefaultIdle, less than 0 that nothing is bounded. Use half the time
	// to live of leases.
	Idle time.Duration
	// NoListen leaves out the connection that listens, and with it the signals of
	// other processes.
	NoListen bool
}

// Store is a checkpoint.RecordStore in PostgreSQL. Any number of stores, in any
// number of processes, may use the same tables.
//
// A save locks its fence, shared, until its transaction ends: the saves of one
// owner run beside each other, and a claim waits for the transactions that are
// about to commit: what a new owner loads is all that its forerunner will ever
// have saved.
//
// Calls stop when their context ends.
type Store struct {
	core    *sqlcore.Store
	db      database
	signals *signals
}

var (
	_ checkpoint.RecordStore = (*Store)(nil)
	_ checkpoint.Notifier    = (*Store)(nil)
	_ checkpoint.Exchanger   = (*Store)(nil)
)

// Open returns a store in the database of pool, which the caller will close,
// after the store. Open creates the tables if they are missing, and brings those
// of earlier releases to the present format, which needs the right to alter them;
// otherwise it needs no right but to read and write them. Open returns a
// [*checkpoint.VersionError] if they are a later release's.
func Open(ctx context.Context, pool *pgxpool.Pool, options Options) (*Store, error) {
	if options.Idle == 0 {
		options.Idle = DefaultIdle
	}
	s := &Store{db: database{conn{pool}, pool}, signals: newSignals(pool)}
	core, err := sqlcore.Open(ctx, s.db, sqlcore.Postgres, sqlcore.Options{
		Package:   "pgxstore",
		Prefix:    options.Prefix,
		Schema:    options.Schema,
		Idle:      options.Idle,
		Committed: s.signals.committed,
	})
	if err != nil {
		return nil, err
	}
	s.core = core
	if !options.NoListen {
		s.signals.start(core)
	}
	return s, nil
}

// Acquire implements checkpoint.Store and waits for a transaction that has
// saved with SaveTx and not ended yet.
func (s *Store) Acquire(ctx context.Context, claim checkpoint.Claim) (checkpoint.Owner, error) {
	return s.core.Acquire(ctx, claim)
}

// Load implements checkpoint.Store, with one query for every 512 keys.
func (s *Store) Load(ctx context.Context, name string, keys []msg.Key) ([]checkpoint.Cursor, error) {
	return s.core.Load(ctx, name, keys)
}

// Save implements checkpoint.Store, in a transaction of its own.
func (s *Store) Save(ctx context.Context, owner checkpoint.Owner, entries []checkpoint.Entry) error {
	return s.core.Save(ctx, owner, entries)
}

// Apply implements checkpoint.RecordStore, in a transaction of its own.
func (s *Store) Apply(ctx context.Context, name string, m checkpoint.Mutation) error {
	return s.core.Apply(ctx, name, m)
}

// Records implements checkpoint.RecordStore, with one statement. The time is the
// database's.
func (s *Store) Records(ctx context.Context, name, prefix string) ([]checkpoint.Record, time.Time, error) {
	return s.core.Records(ctx, name, prefix)
}

// Exchange implements checkpoint.Exchanger: with one statement for a change of
// any revision of the store's own records, otherwise in a transaction.
func (s *Store) Exchange(ctx context.Context, name string, change checkpoint.RecordChange, prefix string) ([]checkpoint.Record, time.Time, error) {
	return s.core.Exchange(ctx, name, change, prefix)
}

// Describe implements checkpoint.RecordStore.
func (s *Store) Describe(ctx context.Context, name string) (checkpoint.Ownership, error) {
	return s.core.Describe(ctx, name)
}

// Names implements checkpoint.RecordStore and reads 512 names at a time.
func (s *Store) Names(ctx context.Context) iter.Seq2[string, error] { return s.core.Names(ctx) }

// Notify implements checkpoint.Notifier. Commits of this store's own
// transactions, and those that Committed tells of, signal at once; those of
// other stores within some 10 ms once they know that somebody waits. Besides
// there is a signal four times a second.
func (s *Store) Notify(ctx context.Context, name string) (<-chan struct{}, error) {
	signals, err := s.core.Notify(ctx, name)
	if err == nil {
		s.signals.wait(ctx, name)
	}
	return signals, err
}

// Scan implements checkpoint.Store, reads 512 cursors at a time and holds no
// connection while the loop body runs.
func (s *Store) Scan(ctx context.Context, name string) iter.Seq2[checkpoint.Entry, error] {
	return s.core.Scan(ctx, name)
}

// Delete implements checkpoint.Store. Like Acquire, it waits for transactions
// that have saved.
func (s *Store) Delete(ctx context.Context, name string) error { return s.core.Delete(ctx, name) }

// Close implements checkpoint.Store and ends the connection that listens; the
// pool stays open, and calls at work in it go on to their end.
func (s *Store) Close() error {
	err := s.core.Close()
	s.signals.close()
	return err
}

// Passing reports whether an error of the database passes by itself: the
// connection is gone, the server restarts, has become read-only after a
// failover, is out of room or connections, cancelled the statement for its
// time, or ended a transaction for another one. The whole transaction can then
// be repeated; whether a commit that failed took effect is another question.
// Passing judges by the driver's codes and its methods SafeToRetry and Timeout,
// never by an error's text.
func (s *Store) Passing(err error) bool { return s.core.Passing(err) }
