// Package checkpoint remembers how far a subscription has come, so that it
// continues there after a restart, on another machine or in a later release.
//
// The event store has no global position. A checkpoint is therefore a vector:
// one [Cursor] for each aggregate the subscription has seen. A cursor names a
// batch by its version and fingerprints it with an [Anchor], so that a resumed
// subscription notices when the aggregate was deleted and built anew meanwhile.
//
// A [Store] keeps the cursors of any number of subscriptions, by name. The
// Store stands guard over three rules whatever its callers do:
//
//   - the fence: whoever acquired a subscription last owns it, and a save by
//     an earlier owner fails with [ErrFenced];
//   - no way back: a cursor that lies below the stored one is refused with a
//     [*RegressionError];
//   - all or nothing: a save is applied whole or not at all.
//
// A consumer acquires its subscription, loads the cursors it needs while it
// works, and saves those it has passed:
//
//	owner, err := store.Acquire(ctx, checkpoint.Claim{Name: "orders", Scope: scope})
//	cursors, err := store.Load(ctx, "orders", keys)
//	err = store.Save(ctx, owner, entries)
//
// Acquire before Load: what is loaded after the epoch was raised can no longer
// be moved by a former owner.
//
// Two stores live here: [NewMemory], which forgets everything at exit, and
// [OpenFile], an append-only log in a folder of its own. Stores on bbolt and
// on SQL databases are modules of their own (checkpoint/bboltstore,
// checkpoint/sqlstore); both can also save inside the caller's transaction,
// which makes effects exactly-once. Package checkpointtest holds the suite
// that every store passes, and that a store of your own should pass.
package checkpoint
