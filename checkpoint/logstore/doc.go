// Package logstore keeps checkpoints in Celeriant itself: a consumer that has no
// database needs nothing beside the event store.
//
//	client, err := pool.New(pool.Options{Address: "localhost:10000"})
//	store, err := logstore.Open(ctx, client, logstore.Options{})
//
// Each subscription has one aggregate, a journal (see package journal), of the
// type [checkpoint.JournalType]. Every save is a batch. A scope leaves that type
// out unless it names it, or one of its aggregates: otherwise each save would be a
// change that causes a save. Snapshots and trims keep the aggregates short.
//
// All writes name the version they follow, and each record names the one before
// it, so that the fence holds whatever a node that became the leader remembers.
// Do not delete these aggregates: [checkpoint.Store] has a Delete. A process at work
// does not notice that its journal was deleted, and what it goes on to save is damaged
// for the next one, which fails with a [*checkpoint.DamagedError]. End the consumers,
// delete the aggregate once more, and begin anew.
//
// Reads go to the leader. A change of the leader makes calls wait for as long as
// the pool's FailoverBudget.
//
// The time by which leases expire is the process's own, since the event store has
// none that can be asked for: keep the clocks of processes that share a
// subscription within a second. The clock decides only when a process tries to take a
// partition over; the journal decides who owns it.
//
// A save is two requests at most while one process saves, a look-up is one.
// Nothing is saved together with effects: handle changes so that a repetition does
// no harm.
package logstore
