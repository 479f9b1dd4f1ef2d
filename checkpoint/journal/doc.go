// Package journal makes a checkpoint store of any log that can append a record
// on condition that the last one is known: a stream of messages, an event
// store. Package natsstore and package logstore stand on it; so can a store of
// your own, with a [Log] of a few methods.
//
// Each subscription has one journal, and the records of the store as a whole
// have one under the empty name. A mutation is one record, so that it is whole or
// not there; with a journal for each bucket of keys a save over two buckets would
// be two records, of which a crash could leave one. The state of a subscription is
// folded from its records and held in memory, so that a look-up costs one question
// for newer records.
//
// # The fence
//
// An append names the last record, and a claim is a record. An owner of before
// does not know the new claim, and its next append fails; it reads what it
// missed, finds the claim, and is refused. Nothing here depends on a clock.
//
// Each record also names the random id of the record before it. A log that lost
// its last records, in a failover for example, may hand their numbers out again,
// so that a process appends behind a record which it does not know. Such an append
// names an id that is not the one before it, and every reader passes over it: the
// fence holds then, too. The process that appended it learns so with the next
// record of somebody else.
//
// # Snapshots
//
// Now and then the state is appended anew, in parts that are small enough for a
// record, between the saves that go on meanwhile: each part says what is true of
// some buckets at its place in the journal. Once the last part is in place, what
// lies before the first is trimmed.
//
// A subscription has at most [MaxCursors] cursors; a save that would add more is
// refused with a [*checkpoint.CapacityError].
package journal
