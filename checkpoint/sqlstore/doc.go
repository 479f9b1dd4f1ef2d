// Package sqlstore keeps checkpoints in a SQL database, through database/sql
// and whichever driver the caller brings. It speaks to SQLite (3.35 or later)
// and PostgreSQL (12 or later).
//
// Its cursors can be saved in the transaction that updates a read model in the
// same database. Effect and cursor then commit together, so that each batch
// takes effect exactly once, whatever crashes and whoever else believes to own
// the subscription:
//
//	tx, err := db.BeginTx(ctx, nil)
//	…
//	_, err = tx.ExecContext(ctx, "UPDATE orders SET …")
//	…
//	err = store.SaveTx(ctx, tx, owner, entries)
//	…
//	err = tx.Commit()
//
// If Commit fails without saying whether it committed, the stored cursor tells.
//
// # SQLite
//
// Open the database in WAL mode, with a busy timeout, and with transactions
// that lock at their beginning; otherwise a transaction that reads first and
// then saves fails with ErrBusy as soon as another one wrote in between. With
// modernc.org/sqlite:
//
//	file:app.db?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)&_pragma=synchronous(FULL)
//
// # Tables
//
// Three tables, whose names begin with Options.Prefix, are created when they
// are missing: format holds the version of this layout, subscriptions one row
// for each name, cursors one row for each aggregate of each subscription.
// Numbers of 64 bits without sign are stored as the signed numbers of the same
// bits: versions beyond 2⁶³ appear negative, and hashes often do. Ids are 16
// bytes in the order of their text.
package sqlstore
