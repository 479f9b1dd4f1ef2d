package checkpoint

import (
	"context"
	"iter"

	"github.com/celeriant/celeriant-go/msg"
)

// Owner is the right to save the cursors of one subscription. Acquire hands it
// out; it is a plain value that may be copied and used from any goroutine. It
// ends when somebody acquires the subscription again or deletes it.
type Owner struct {
	Name  string
	Epoch uint64
}

// Claim asks for the ownership of a subscription.
type Claim struct {
	// Name is the subscription's: 1 to 255 bytes of printable UTF-8.
	Name string
	// Scope is the canonical text of what is subscribed: at most 1 MiB of UTF-8
	// without NUL. It is remembered with the first claim. A later claim with
	// another scope is refused, since its cursors would tell nothing about the
	// aggregates that are new in it.
	Scope string
	// Adopt replaces the stored scope by Scope and keeps the cursors.
	Adopt bool
}

// Store keeps the cursors of subscriptions. Implementations are safe for
// concurrent use; calls after Close return ErrClosed. A context that is done
// before a call has begun its work makes it return the context's error with
// nothing applied. A Save or Acquire whose context ends while it works may have
// been applied; repeating a Save is harmless.
//
// Names that do not conform are refused with a [*NameError].
type Store interface {
	// Acquire makes the caller the owner of a subscription, which exists from
	// the first claim on. It raises the epoch durably: every owner handed out
	// earlier is fenced once it returns. Another scope than the stored one is
	// refused with a [*ScopeError] unless the claim adopts; a refused claim
	// fences nobody.
	Acquire(ctx context.Context, claim Claim) (Owner, error)

	// Load returns the stored cursors of keys, parallel to keys, and the zero
	// Cursor where there is none; also for a name never acquired. Keys may
	// repeat. It needs no ownership. It is one batched look-up: ask for
	// hundreds of keys at once, not for one.
	Load(ctx context.Context, name string, keys []msg.Key) ([]Cursor, error)

	// Save stores cursors, all or none of them, and returns once they are as
	// durable as the store makes them. It returns [ErrFenced] unless owner
	// holds the newest epoch of its subscription, and a [*RegressionError] if an
	// entry lies below what is stored. An entry that compares equal to what is
	// stored changes nothing, its anchor included. Entries are taken in order:
	// of several with one key the last counts, and none may lie below the one
	// before. A save without entries only asks whether the owner is fenced.
	// The slice is not kept.
	Save(ctx context.Context, owner Owner, entries []Entry) error

	// Scan yields every stored cursor of a subscription once, in no promised
	// order; of those that move meanwhile the older or the newer state. The
	// loop body may call the store. The first error ends it.
	Scan(ctx context.Context, name string) iter.Seq2[Entry, error]

	// Delete forgets the cursors and the scope of a subscription; a later claim
	// starts afresh, with any scope. The epoch survives and is raised, so that
	// its owners are fenced for ever. Deleting what does not exist succeeds.
	Delete(ctx context.Context, name string) error

	// Close waits for calls at work and releases what the store holds. Closing
	// again returns nil.
	Close() error
}
