//go:build postgres

package sqlstore_test

import (
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/sqlstore"
	"github.com/celeriant/celeriant-go/msg"
)

// A look-up reads the rows it asks for, whatever PostgreSQL believes of the
// table: what its statistics remember, or a plan made when it was small.
func TestPostgresReadsOnlyWhatIsAskedFor(t *testing.T) {
	const size = 4000
	for _, owner := range []string{"mine", "theirs"} {
		for _, before := range []int{0, 1, 10, 50} {
			db := postgres(t)
			g := growth{t: t, database: db, store: db.store(t, db.open(t))}
			g.fill("mine", 0)
			g.fill(owner, before)
			if _, err := db.open(t).ExecContext(t.Context(), "ANALYZE"); err != nil {
				t.Fatal(err)
			}
			look := g.session()
			for range 10 { // plans are kept from the sixth time on
				look(size)
			}
			g.fill("mine", size)
			fresh := g.session()
			for name, session := range map[string]func(int) (int, int){"old": look, "new": fresh} {
				if found, read := session(size); found != lookedUp || read > lookedUp {
					t.Errorf("%d rows of %s grow: a session that is %s finds %d of %d, for which it reads %d", before, owner, name, found, lookedUp, read)
				}
			}
		}
	}
}

const lookedUp = 400

// growth is a table that grows.
type growth struct {
	t testing.TB
	database
	store *sqlstore.Store
}

func grown(i int) msg.Key {
	return msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(uint64(i) + 1)}
}

// fill stores the first cursors of a subscription.
func (g growth) fill(name string, count int) {
	g.t.Helper()
	owner, err := g.store.Acquire(g.t.Context(), checkpoint.Claim{Name: name, Scope: "all"})
	if err != nil {
		g.t.Fatal(err)
	}
	entries := make([]checkpoint.Entry, count)
	for i := range entries {
		entries[i] = checkpoint.Entry{Key: grown(i), Cursor: checkpoint.Cursor{Life: 1, Version: 1}}
	}
	if err := g.store.Save(g.t.Context(), owner, entries); err != nil {
		g.t.Fatal(err)
	}
}

// session returns what loads cursors spread over the first size, always on the
// same connection, and tells how many it has found and how many rows were read.
func (g growth) session() func(size int) (found, read int) {
	db := g.open(g.t)
	db.SetMaxOpenConns(1)
	store := g.database.store(g.t, db)
	return func(size int) (found, read int) {
		g.t.Helper()
		keys := make([]msg.Key, lookedUp)
		for i := range keys {
			keys[i] = grown(i * size / lookedUp)
		}
		tx, err := db.BeginTx(g.t.Context(), nil)
		if err != nil {
			g.t.Fatal(err)
		}
		defer tx.Rollback()
		// The counters are the connection's: what it did before is in them.
		const counters = `SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables
			WHERE schemaname = current_schema AND relname = 'celeriant_cursors'`
		count := func() (n int) {
			if err := tx.QueryRowContext(g.t.Context(), counters).Scan(&n); err != nil {
				g.t.Fatal(err)
			}
			return n
		}
		earlier := count()
		cursors, err := store.LoadTx(g.t.Context(), tx, "mine", keys)
		if err != nil {
			g.t.Fatal(err)
		}
		for _, c := range cursors {
			found += int(c.Version)
		}
		return found, count() - earlier
	}
}
