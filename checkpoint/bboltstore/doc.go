// Package bboltstore keeps checkpoints in a bbolt database: a store in one file
// that never needs to fit in memory, and whose cursors can be saved in the same
// transaction as a read model in the same database.
//
// [Open] has a database of its own; [New] shares one. With a shared database
// the effect of a batch and the cursor behind it commit together, so that each
// batch takes effect exactly once:
//
//	orders := client.Watch(scope, celeriant.WithName("orders"), celeriant.WithCheckpoints(store))
//	err := operators.ProjectIn(ctx, orders, store, func(ctx context.Context, tx *bbolt.Tx, changes []stream.Change) error {
//		return apply(tx, changes)
//	})
//
// By hand it is SaveTx, or ApplyTx with a mutation, before the commit.
//
// Everything lives below one root bucket:
//
//	format            1 byte, the version of this layout
//	owners/<name>     u64 epoch, u8 flags (1 claimed, 2 with token), 16 bytes token, scope
//	cursors/<name>/   48-byte key → checkpoint.Cursor in binary
//	records/<name>/   record key → value
//	store             record key → value of the store's own records
//
// Databases of earlier releases are brought to this layout when they are opened.
package bboltstore
