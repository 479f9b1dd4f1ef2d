package checkpoint

import (
	"context"
	"iter"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// Store keeps the cursors of subscriptions. Implementations are safe for
// concurrent use; calls after Close return ErrClosed. A context that is done
// before a call has begun its work makes it return the context's error with
// nothing applied. A Save or Acquire whose context ends while it works may have
// been applied; repeating a Save is harmless.
//
// Names that do not conform are refused with a [*NameError].
type Store interface {
	// Acquire makes the caller the owner of a whole subscription, which exists
	// from the first claim on. Acquire raises the epoch durably and draws a
	// token: every owner handed out earlier is fenced once it returns, and every
	// save it does not fence is visible to the new owner. Another scope than the
	// stored one is refused with a [*ScopeError] unless the claim adopts or
	// replaces it; a refused claim fences nobody. A claim that changes the scope
	// also removes the partitions' records, which fences their owners.
	Acquire(ctx context.Context, claim Claim) (Owner, error)

	// Load returns the stored cursors of keys, parallel to keys, and the zero
	// Cursor where there is none; also for a name never acquired. Keys may
	// repeat. Load needs no ownership. Load is one batched look-up: ask for
	// hundreds of keys at once, not for one.
	Load(ctx context.Context, name string, keys []msg.Key) ([]Cursor, error)

	// Save stores cursors, all or none of them, and returns once they are as
	// durable as the store makes them. The error is [ErrFenced] unless owner
	// holds the newest claim of its subscription or partition, an
	// [*AppliedError] or a [*RegressionError], which name their key, if an entry
	// lies below what is stored or does not start from it, and a [*CursorError]
	// for a cursor that no store keeps. An entry that compares equal to what is
	// stored changes nothing, its anchor included. Entries are taken in order:
	// of several with one key the last counts, and none may lie below the one
	// before. A save without entries only asks whether the owner is fenced. The
	// slice is not kept.
	Save(ctx context.Context, owner Owner, entries []Entry) error

	// Scan yields every stored cursor of a subscription once, in no promised
	// order; of those that move meanwhile the older or the newer state. The
	// loop body may call the store. The first error ends it.
	Scan(ctx context.Context, name string) iter.Seq2[Entry, error]

	// Delete forgets the cursors, the records and the scope of a subscription; a
	// later claim starts afresh, with any scope. The epoch survives and is
	// raised, so that its owners are fenced for ever: their saves return a
	// [*FencedError] that matches [ErrDeleted], too. Deleting what does not exist
	// succeeds.
	Delete(ctx context.Context, name string) error

	// Close waits for calls at work and releases what the store holds. Closing
	// again returns nil.
	Close() error
}

// RecordStore is a Store that also keeps small records: what processes that
// share a subscription tell each other, what is parked, who owns which
// partition. Every store of this module is one. Code above the stores decides what
// the records mean, from what Records returns and what Apply compares.
//
// Besides the records of each subscription there are those of the store as a
// whole, under the name "": they need no claim and survive every deletion.
type RecordStore interface {
	Store

	// Records returns the records of a subscription whose keys begin with
	// prefix, in the order of their keys, and the store's time when it looked;
	// none for a name never acquired or deleted.
	Records(ctx context.Context, name, prefix string) (records []Record, now time.Time, err error)

	// Apply applies a mutation to a subscription, whole or not at all. Beside
	// the errors of Save it returns a [*RevisionError] if a record is not the
	// one that a change names, a [*LimitError] if the mutation's limit is
	// reached, a [*RecordError] for a record that no store keeps, and, without
	// owners, [ErrDeleted] for a subscription that does not exist.
	Apply(ctx context.Context, name string, m Mutation) error

	// Describe returns the ownership of a subscription, and the zero Ownership
	// for a name never acquired.
	Describe(ctx context.Context, name string) (Ownership, error)

	// Names yields the names of all subscriptions that are claimed, in the order
	// of their bytes. The loop body may call the store. The first error ends it.
	Names(ctx context.Context) iter.Seq2[string, error]
}

// Notifier is a store that tells of commits.
type Notifier interface {
	// Notify returns a channel that receives a value after the store committed
	// changes of a subscription, at least once after the last of them. The
	// channel holds one value at most. A signal is a hint to look, never a
	// proof, and a store may signal without a change. Signals end with ctx; the
	// channel is never closed.
	Notify(ctx context.Context, name string) (<-chan struct{}, error)
}

// Exchanger is a store that can write one record and read others in one
// statement: a heartbeat. [Exchange] does it on any store.
type Exchanger interface {
	// Exchange is Apply of the one change and Records of what has the prefix
	// afterwards, the new record included.
	Exchange(ctx context.Context, name string, change RecordChange, prefix string) ([]Record, time.Time, error)
}

// Exchange applies a change of one record and returns those whose keys begin
// with prefix: in one statement where the store is an [Exchanger], otherwise in
// two steps.
func Exchange(ctx context.Context, store RecordStore, name string, change RecordChange, prefix string) ([]Record, time.Time, error) {
	if x, ok := store.(Exchanger); ok {
		return x.Exchange(ctx, name, change, prefix)
	}
	if err := store.Apply(ctx, name, Mutation{Records: []RecordChange{change}}); err != nil {
		return nil, time.Time{}, err
	}
	return store.Records(ctx, name, prefix)
}

// Exclusive is a store that no other process can have open at the same time.
// Records that processes tell each other through it need not be written.
type Exclusive interface {
	// Exclusive reports whether that is so.
	Exclusive() bool
}
