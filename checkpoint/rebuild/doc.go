// Package rebuild puts a new version of a consumer in the place of an old one, without
// a gap and without a repetition.
//
// The new version, the rebuild, is a subscription of its own, under a name of its own
// such as "orders@2". The rebuild handles the history again while its predecessor
// goes on, and never passes the predecessor's stored cursor of an aggregate. The
// cut-over makes it current. The states are stored as one record of the store:
//
//		building → draining → current
//		     ↘        ↓ Abort
//		       superseded
//
//	  - building: both run. [Judge] decides for each change whether the predecessor has
//	    handled it.
//	  - draining, from [CutOver] on: every owner of the predecessor is fenced, its
//	    cursors are frozen, and nobody can claim it; see [checkpoint.Supersession]. The
//	    rebuild handles what is left up to the frozen cursors.
//	  - current, by [Finish]: the rebuild stands at the frozen cursors and goes on by
//	    itself. Processes of the predecessor end with [checkpoint.ErrSuperseded].
//	  - superseded, by [Abort]: the rebuild was given up, the predecessor goes on.
//
// Rolling a current rebuild back is the same with the roles changed: [Rollback] makes
// the predecessor the rebuild of its rebuild.
//
// Each step is one conditional change of one record, or a claim that may be repeated.
// A process that is killed between two of them leaves a state that says what is still
// to be done; [CutOver], [Abort] and [Open] do that. No step needs a transaction over
// several subscriptions or partitions.
//
// Cursors of two subscriptions are compared by version and anchor. Their lives are
// counted apart: a rebuild has not seen those that ended before it began.
//
// The package is pure but for the functions that take a store. Package stream runs the
// gate of a rebuild inside its subscription.
package rebuild
