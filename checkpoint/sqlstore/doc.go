// Package sqlstore keeps checkpoints in a SQL database, through database/sql
// and whichever driver the caller brings. The store speaks to SQLite (3.35 or
// later), PostgreSQL (12 or later), and MySQL (8) or MariaDB (10.6 or later).
//
// Its cursors can be saved in the transaction that updates a read model in the
// same database. Effect and cursor then commit together, so that each batch
// takes effect exactly once, whatever crashes and whoever else believes to own
// the subscription. operators.Project does that:
//
//	err := operators.Project(ctx, orders, db, func(ctx context.Context, tx *sql.Tx, changes []stream.Change) error {
//		_, err := tx.ExecContext(ctx, "UPDATE orders SET …")
//		return err
//	})
//
// By hand it is SaveTx, or ApplyTx with a mutation, before the commit.
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
// # PostgreSQL
//
// Transactions run at READ COMMITTED. Behind PgBouncer in transaction mode
// everything works with drivers that prepare no statements by name (pgx:
// default_query_exec_mode=exec); no session setting is used or left behind. A
// store must be opened on the primary; calls that write to a replica, or to a
// former primary after a failover, fail with an error that is Passing.
//
// After a failover to a replica that lost the last commits, effects and cursors
// that were committed together are lost together, and handled again. An owner of
// before is fenced by its token even if its epoch is handed out again.
//
// # MySQL and MariaDB
//
// Name the database in the DSN or in Options.Schema. The isolation level may
// stay REPEATABLE READ.
//
// # Least privilege
//
// A store that finds its tables runs no DDL. Such a store needs SELECT, INSERT,
// UPDATE and DELETE on the subscriptions, cursors and records tables, SELECT on
// format, and in PostgreSQL USAGE on the schema:
//
//	GRANT USAGE ON SCHEMA app TO consumer;
//	GRANT SELECT ON app.celeriant_format TO consumer;
//	GRANT SELECT, INSERT, UPDATE, DELETE ON app.celeriant_subscriptions, app.celeriant_cursors, app.celeriant_records TO consumer;
//
// # Tables
//
// Four tables, whose names begin with Options.Prefix, are created when they are
// missing: format holds the version of this layout, subscriptions one row for
// each name, cursors one row for each aggregate of each subscription, records
// small texts in JSON: what is parked, who owns which partition. Records of
// the store as a whole have the subscription 0. Statements name the schema, so that
// the search path does not matter. Tables of earlier releases are brought to the
// present format when a store is opened.
//
// Numbers of 64 bits without sign are stored as the signed numbers of the same
// bits: hashes often appear negative. Ids are 16 bytes in the order of their
// text.
package sqlstore
