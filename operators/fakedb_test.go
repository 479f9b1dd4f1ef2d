package operators_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"iter"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// database is a database behind database/sql with a ledger of effects, which
// has no unique constraint, a table of cursors, and one row lock. Faults can be
// put into every statement and into commits.
type database struct {
	mu      sync.Mutex
	effects []string
	cursors map[place]checkpoint.Cursor
	begun   int

	// row is the owner's row lock: it holds a token while nobody has it.
	row chan struct{}

	// onStatement may fail "begin", "lock", "cursor", "load" and "effect".
	onStatement func(statement string) error
	// onCommit says what a commit does and what it answers.
	onCommit func() (outcome, error)
}

// place is where a cursor is kept.
type place struct {
	name string
	key  msg.Key
}

func placeOf(name, key driver.NamedValue) (place, error) {
	k, err := checkpoint.ParseKey(key.Value.([]byte))
	return place{name.Value.(string), k}, err
}

type outcome int

const (
	commits   outcome = iota
	rollsBack         // nothing of it stays
	lateness          // it commits when the test says so, and holds its lock until then
)

func newDatabase(t *testing.T) (*database, *sql.DB) {
	d := &database{cursors: make(map[place]checkpoint.Cursor), row: make(chan struct{}, 1)}
	d.row <- struct{}{}
	db := sql.OpenDB(connector{d})
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return d, db
}

func (d *database) ledger() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.effects)
}

func (d *database) apply(t *transaction) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.effects = append(d.effects, t.effects...)
	maps.Copy(d.cursors, t.cursors)
}

type connector struct{ d *database }

func (c connector) Connect(context.Context) (driver.Conn, error) { return &conn{d: c.d}, nil }
func (c connector) Driver() driver.Driver                        { return nil }

type conn struct {
	d  *database
	tx *transaction
}

func (c *conn) Prepare(string) (driver.Stmt, error) { return nil, errors.New("not prepared here") }
func (c *conn) Close() error                        { return nil }
func (c *conn) Begin() (driver.Tx, error)           { return nil, errors.New("not begun here") }

func (c *conn) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) {
	if err := c.statement("begin"); err != nil {
		return nil, err
	}
	c.d.mu.Lock()
	c.d.begun++
	c.d.mu.Unlock()
	c.tx = &transaction{conn: c, cursors: make(map[place]checkpoint.Cursor)}
	return c.tx, nil
}

func (c *conn) statement(name string) error {
	if c.d.onStatement == nil {
		return nil
	}
	return c.d.onStatement(name)
}

func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if err := c.statement(query); err != nil {
		return nil, err
	}
	switch query {
	case "lock":
		return driver.ResultNoRows, c.tx.lock(ctx)
	case "lose": // the database rolls back by itself
		c.tx.effects, c.tx.cursors = nil, make(map[place]checkpoint.Cursor)
	case "effect":
		c.tx.effects = append(c.tx.effects, args[0].Value.(string))
	case "cursor":
		at, err := placeOf(args[0], args[1])
		if err != nil {
			return nil, err
		}
		var cursor checkpoint.Cursor
		if err := cursor.UnmarshalBinary(args[2].Value.([]byte)); err != nil {
			return nil, err
		}
		c.tx.cursors[at] = cursor
	}
	return driver.ResultNoRows, nil
}

// QueryContext is the look-up of one cursor.
func (c *conn) QueryContext(_ context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if err := c.statement(query); err != nil {
		return nil, err
	}
	at, err := placeOf(args[0], args[1])
	if err != nil {
		return nil, err
	}
	c.d.mu.Lock()
	cursor := c.d.cursors[at]
	c.d.mu.Unlock()
	if c.tx != nil {
		if own, ok := c.tx.cursors[at]; ok {
			cursor = own
		}
	}
	value, err := cursor.MarshalBinary()
	return &oneRow{value: value}, err
}

type oneRow struct {
	value []byte
	read  bool
}

func (r *oneRow) Columns() []string { return []string{"cursor"} }
func (r *oneRow) Close() error      { return nil }
func (r *oneRow) Next(into []driver.Value) error {
	if r.read {
		return io.EOF
	}
	r.read, into[0] = true, r.value
	return nil
}

type transaction struct {
	conn    *conn
	locked  bool
	effects []string
	cursors map[place]checkpoint.Cursor
}

func (t *transaction) lock(ctx context.Context) error {
	if t.locked {
		return nil
	}
	select {
	case <-t.conn.d.row:
		t.locked = true
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *transaction) end() {
	t.conn.tx = nil
	if t.locked {
		t.conn.d.row <- struct{}{}
	}
}

func (t *transaction) Rollback() error {
	t.end()
	return nil
}

func (t *transaction) Commit() error {
	result, err := commits, error(nil)
	if t.conn.d.onCommit != nil {
		result, err = t.conn.d.onCommit()
	}
	switch result {
	case commits:
		t.conn.d.apply(t)
	case lateness:
		t.conn.tx = nil
		d := t.conn.d
		late <- func() {
			d.apply(t)
			d.row <- struct{}{}
		}
		return err
	}
	t.end()
	return err
}

// late receives the commits that take effect later.
var late = make(chan func(), 1)

// txStore is a TxStore in a database.
type txStore struct {
	*checkpoint.Memory // owners only
	t                  *testing.T
	d                  *database
	db                 *sql.DB
	loads              atomic.Int64
}

func newTxStore(t *testing.T, d *database, db *sql.DB) *txStore {
	return &txStore{Memory: checkpoint.NewMemory(), t: t, d: d, db: db}
}

func (s *txStore) Load(ctx context.Context, name string, keys []msg.Key) ([]checkpoint.Cursor, error) {
	s.loads.Add(1)
	return load(ctx, s.db, name, keys)
}

func (s *txStore) LoadTx(ctx context.Context, tx *sql.Tx, name string, keys []msg.Key) ([]checkpoint.Cursor, error) {
	return load(ctx, tx, name, keys)
}

func (s *txStore) Scan(_ context.Context, name string) iter.Seq2[checkpoint.Entry, error] {
	s.d.mu.Lock()
	all := maps.Clone(s.d.cursors)
	s.d.mu.Unlock()
	return func(yield func(checkpoint.Entry, error) bool) {
		for at, cursor := range all {
			if at.name == name && !yield(checkpoint.Entry{Key: at.key, Cursor: cursor}, nil) {
				return
			}
		}
	}
}

func load(ctx context.Context, q interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
}, name string, keys []msg.Key) ([]checkpoint.Cursor, error) {
	cursors := make([]checkpoint.Cursor, len(keys))
	for i, k := range keys {
		var value []byte
		if err := q.QueryRowContext(ctx, "load", name, checkpoint.AppendKey(nil, k)).Scan(&value); err != nil {
			return nil, err
		}
		if err := cursors[i].UnmarshalBinary(value); err != nil {
			return nil, err
		}
	}
	return cursors, nil
}

// Save must not be used by a projection.
func (s *txStore) Save(context.Context, checkpoint.Owner, []checkpoint.Entry) error {
	s.t.Error("cursors were saved outside a transaction")
	return nil
}

func (s *txStore) SaveTx(ctx context.Context, tx *sql.Tx, o checkpoint.Owner, entries []checkpoint.Entry) error {
	if _, err := tx.ExecContext(ctx, "lock"); err != nil {
		return err
	}
	// An empty save asks for the fence.
	if err := s.Memory.Save(ctx, o, nil); err != nil {
		return err
	}
	keys := make([]msg.Key, len(entries))
	for i := range entries {
		keys[i] = entries[i].Key
	}
	stored, err := load(ctx, tx, o.Name, keys)
	if err != nil {
		return err
	}
	moved, err := checkpoint.Advance(entries, stored)
	if err != nil {
		return err
	}
	for _, e := range moved {
		value, err := e.Cursor.MarshalBinary()
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "cursor", o.Name, checkpoint.AppendKey(nil, e.Key), value); err != nil {
			return err
		}
	}
	return nil
}

// Apply stores cursors in the database, too.
func (s *txStore) Apply(ctx context.Context, name string, m checkpoint.Mutation) error {
	if len(m.Entries) > 0 {
		tx, err := s.db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if err := s.SaveTx(ctx, tx, m.Owners[0], m.Entries); err != nil {
			return err
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		m.Entries = nil
	}
	return s.Memory.Apply(ctx, name, m)
}
