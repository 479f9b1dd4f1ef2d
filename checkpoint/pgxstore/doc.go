// Package pgxstore keeps checkpoints in PostgreSQL (12 or later) through pgx and
// its pools, without database/sql. Tables and locks are those of sqlstore's
// PostgreSQL dialect: a store of either kind goes on with what the other wrote,
// also at the same time. See there for privileges, schemas and failovers.
//
// A read model in the same database is updated exactly once with ProjectIn, and
// its handler has all of pgx: COPY, batches, types.
//
//	store, err := pgxstore.Open(ctx, pool, pgxstore.Options{})
//	…
//	orders := client.Watch(scope, celeriant.WithName("orders"), celeriant.WithCheckpoints(store))
//	err = operators.ProjectIn(ctx, orders, store, func(ctx context.Context, tx pgx.Tx, changes []stream.Change) error {
//		_, err := tx.CopyFrom(ctx, pgx.Identifier{"orders"}, columns, rows(changes))
//		return err
//	})
//
// # Signals
//
// Callers that wait for a commit in another process are woken with LISTEN and
// NOTIFY. A store has one connection of its own that listens. A process that
// waits says so on the channel, and says it again every ten seconds; only then
// do others notify: after their commits, in a statement of its own, at most every
// 10 ms for all names together. Without waiters a commit costs nothing more.
//
// PgBouncer in transaction mode cannot LISTEN: set Options.NoListen there, and
// those who wait look four times a second.
package pgxstore
