// Package shard is the content of one shard of the in-process node: pure,
// single-threaded state without goroutine, clock or network. The node
// around it routes, authorises, locks, stores and talks; this package decides.
// "Section" below and in comments is a section of the notes on the observable
// behaviour of the reference server; sections of the protocol are named as such.
//
// # Two sides
//
// A mutation ([Shard.Write], [Shard.TrimStart], [Shard.Delete],
// [Shard.RegisterSchema]) is judged by the write side, which knows
// everything appended, and then appends one [Record] to the log.
// Nothing of it can be read until [Shard.Commit] reaches its position; Commit
// also returns what watchers hear. A standalone node commits right after each
// append, a leader once its follower has the record, a follower ([Shard.Apply])
// when told. A deposed leader discards what was not committed
// ([Shard.TruncateTo]). A duplicate of a write between append and commit is
// CodeInFlight, afterwards CodeDuplicate (section 3.3).
//
// # Rules that always hold
//
//   - order of checks and error texts: sections 3.1, 4.1, 4.4, 6, protocol section 14.3;
//   - a fresh recreation counts 1, then goes on above the highest version ever; guards and
//     details count from that mark, which outlives further deletes (4.3);
//   - client sequence floors survive trim, delete and both kinds of recreation (3.3);
//   - trims at or below the floor succeed and leave no record (4.4);
//   - details keep the flags of the last delete after a recreation (4.5);
//   - filters in two levels, pages by size, the next version by the batch level (5);
//   - lists: segment by segment, the active one whole on the first page, deleted
//     aggregates included, five fields always 0 (8).
//
// # Quirks
//
// With [Options.Quirks] the accidents of the reference server are reproduced:
//
//   - 4.3: a continuation makes trimmed batches readable again;
//   - 4.3: a read from version 1 runs into earlier lives, unless every batch of the
//     current life was committed since the last delete or restart; from 2 on
//     it never does;
//   - 4.3, 3.3: after [Shard.Restart] an aggregate counts from its newest batch (or
//     what its newest trim or tombstone noted), and a client's floor is that of
//     its latest batch in the aggregate;
//   - 4.5: after a restart the flags of a recreated aggregate are gone, and a trim counts as
//     its last change;
//   - 4.6: after a restart the first lookup of an aggregate walks back through the log and
//     remembers others by their newest batch alone, so deleted ones are served
//     as live and trims are forgotten, until the next mutation of that aggregate;
//   - 5: a batch that cannot be answered within the response cap is not answered.
//
// Without quirks only the current life is readable, what was deleted or
// trimmed stays so (a continuation keeps the floor), no version is ever
// repeated in a life, [Shard.Restart] changes nothing, pages are measured as
// encoded and never exceed the cap, and a batch larger than the cap is refused
// with CodeReadDataBlocks.
//
// Not reproduced in either mode: cache eviction without a restart, pages with
// a hole behind the next version (5), the 2 s limit of a list page (8), and
// lists beyond the response cap: here such a page ends early with a cursor. A
// lookup of an aggregate that never existed does not walk the log.
package shard
