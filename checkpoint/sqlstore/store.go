package sqlstore

import (
	"context"
	"database/sql"
	"iter"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/internal/sqlcore"
	"github.com/celeriant/celeriant-go/msg"
)

// ErrBusy: the database could not serve this transaction beside others. Nothing
// of it was applied; roll it back and repeat it. In SQLite it means that
// another connection held the lock for longer than the busy timeout, or that a
// transaction read before another one wrote and may not write any more; see the
// package's documentation for how to open the database. In PostgreSQL and MySQL
// it is a serialization failure, a deadlock or a lock timeout, or another
// transaction of the same owner that wrote first.
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
	// Schema has the tables: a schema of PostgreSQL, a database of MySQL, an
	// attached database of SQLite. Empty means the one in which the tables are
	// found when the store is opened, otherwise the one in which they would be
	// created; from then on the search path of a connection does not matter.
	Schema string
	// Idle bounds at the server how long a transaction that holds a fence may be
	// idle, so that a process that stops in the middle of one gives its lock back;
	// 0 means DefaultIdle, less than 0 that nothing is bounded. Use half the time
	// to live of leases. PostgreSQL can, for the one transaction, and MariaDB, in
	// whole seconds and for all later transactions of the connection: unless the
	// server is told otherwise, Idle is the most that any of them may be idle. In
	// MySQL and SQLite a stopped process keeps its lock until its connection or
	// itself ends.
	Idle time.Duration
	// Passing recognises errors of the driver which pass, beside those that
	// Store.Passing knows; nil means none. github.com/go-sql-driver/mysql needs
	// it for a connection that was lost: func(err error) bool { return
	// errors.Is(err, mysql.ErrInvalidConn) }.
	Passing func(error) bool
}

// Store is a checkpoint.RecordStore in a SQL database. Any number of stores, in
// any number of processes, may use the same tables.
//
// A save locks its fence, shared, until its transaction ends: the saves of one
// owner run beside each other, and a claim waits for the transactions that are
// about to commit: what a new owner loads is all that its forerunner will ever
// have saved. In SQLite the lock is on the whole database.
//
// Calls stop when their context ends, as far as the driver does.
type Store struct {
	core *sqlcore.Store
	db   database
}

func (s *Store) begin(ctx context.Context) (*sql.Tx, error) { return s.db.begin(ctx) }

var (
	_ checkpoint.RecordStore = (*Store)(nil)
	_ checkpoint.Notifier    = (*Store)(nil)
	_ checkpoint.Exchanger   = (*Store)(nil)
)

// Open returns a store in db, which the caller opened and will close, after the
// store. Open creates the tables if they are missing, and brings those of
// earlier releases to the present format, which needs the right to alter them;
// otherwise it needs no right but to read and write them. Open returns a
// [*checkpoint.VersionError] if they are a later release's.
func Open(ctx context.Context, db *sql.DB, dialect Dialect, options Options) (*Store, error) {
	if options.Idle == 0 {
		options.Idle = DefaultIdle
	}
	base := database{conn{db}, db, dialect}
	core, err := sqlcore.Open(ctx, base, sqlcore.Dialect(dialect), sqlcore.Options{
		Package: "sqlstore",
		Prefix:  options.Prefix,
		Schema:  options.Schema,
		Idle:    options.Idle,
		Passing: options.Passing,
	})
	if err != nil {
		return nil, err
	}
	return &Store{core: core, db: base}, nil
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
// database's; SQLite's is the process's.
func (s *Store) Records(ctx context.Context, name, prefix string) ([]checkpoint.Record, time.Time, error) {
	return s.core.Records(ctx, name, prefix)
}

// Exchange implements checkpoint.Exchanger: in PostgreSQL with one statement for
// a change of any revision of the store's own records, otherwise in a
// transaction.
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
// other processes are found by looking: there is a signal four times a second.
func (s *Store) Notify(ctx context.Context, name string) (<-chan struct{}, error) {
	return s.core.Notify(ctx, name)
}

// Scan implements checkpoint.Store, reads 512 cursors at a time and holds no
// connection while the loop body runs.
func (s *Store) Scan(ctx context.Context, name string) iter.Seq2[checkpoint.Entry, error] {
	return s.core.Scan(ctx, name)
}

// Delete implements checkpoint.Store. Like Acquire, it waits for transactions
// that have saved.
func (s *Store) Delete(ctx context.Context, name string) error { return s.core.Delete(ctx, name) }

// Close implements checkpoint.Store. The database stays open, and calls at work
// in it go on to their end.
func (s *Store) Close() error { return s.core.Close() }

// Passing reports whether an error of the database passes by itself: the
// connection is gone, the server restarts, has become read-only after a
// failover, is out of room or connections, cancelled the statement for its
// time, or ended a transaction for another one. The whole transaction can then
// be repeated; whether a commit that failed took effect is another question.
// Passing judges by the driver's codes and its methods SafeToRetry and Timeout,
// never by an error's text.
func (s *Store) Passing(err error) bool { return s.core.Passing(err) }
