// Package sqlcore is a checkpoint store in a SQL database, without the database:
// statements, tables and the order in which rows are locked. The modules
// sqlstore and pgxstore bring connections.
//
// # Locks
//
// A save reads its fence under a shared lock until its transaction ends: the
// subscription's row for a whole owner, the records of its partitions for a
// leased one. Saves of one owner so run beside each other, while a claim, which
// changes the row, waits for them. The state that a save compares with is
// either locked too, or the write itself carries the condition; a save that finds another row
// than it has read is rolled back and repeated.
//
// Locks are taken in this order: fence, records by key, the row of the limit,
// cursors.
package sqlcore
