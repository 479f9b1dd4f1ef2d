package operators

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/celeriant/celeriant-go/stream"
)

// Project subscribes and calls apply for slices of changes, each inside a
// transaction of db that stores their cursors too. Effect and cursor commit
// together or not at all: each batch takes effect exactly once, whatever
// crashes, whoever believes to be the owner, and even when a commit's answer
// is lost. apply writes through tx only, neither commits nor rolls back, does not
// change the changes, and has no effects outside the database: when a
// transaction is run again, it is called again.
//
// The subscription's checkpoint store must be a [TxStore] whose tables lie in
// db; any other is refused with a [*StoreError].
//
// A slice holds what is waiting, at most 512 changes or 4 MiB of payload, see
// [WithLimits]; changes are never split. Deleted, Reset, Truncated and CaughtUp
// reach apply like batches. CaughtUp and Unreadable move no cursor, so that
// they come again after a restart, and a slice of nothing else is applied again
// if the outcome of its commit is unknown.
//
// Passing database errors run the transaction again, with growing pauses of at
// most 5 s, until ctx ends or for as long as [WithRetryLimit] says: SQLite's
// busy and locked, SQLSTATE classes 08, 40 and 53 and states 55P03, 57P01 to
// 57P03, lost connections, and what [WithPassing] names. When a commit fails,
// its outcome is unknown; the cursors are read back under the owner's lock
// before anything else happens, and tell.
//
// It ends, always with an error and with its subscription closed:
//   - when ctx ends, with ctx's cause. No further transaction is begun; the one
//     in flight may finish within the stop timeout.
//   - when apply fails for good or panics, with a [*HandlerError]; the
//     transaction is rolled back.
//   - when the subscription ends, or somebody else took it over, with the
//     terminal cause; errors.Is tells [checkpoint.ErrFenced].
//   - when the database fails for good.
func Project(ctx context.Context, src Source, db *sql.DB,
	apply func(ctx context.Context, tx *sql.Tx, changes []stream.Change) error, opts ...ProjectOption,
) (err error) {
	s := defaults()
	for _, o := range opts {
		o.project(&s)
	}
	if known, ok := src.(StoreSource); ok {
		// Whoever owns the subscription now must not lose it to a mistake here.
		if _, ok := known.Store().(TxStore); !ok {
			return &StoreError{Store: fmt.Sprintf("%T", known.Store())}
		}
	}
	sub, err := src.Open(ctx)
	if err != nil {
		return err
	}
	var cause error
	defer func() { err = finish(ctx, sub, cause, s.stop) }()
	store, ok := sub.Store().(TxStore)
	if !ok {
		cause = &StoreError{Name: sub.Name(), Store: fmt.Sprintf("%T", sub.Store())}
		return cause
	}
	work, release := grace(ctx, s.stop)
	defer release()
	p := &projection{settings: s, sub: sub, store: store, db: db, apply: apply}
	cause = p.run(ctx, work)
	return cause
}

// projection is a Project at work.
type projection struct {
	settings
	sub   stream.Consumer
	store TxStore
	db    *sql.DB
	apply func(context.Context, *sql.Tx, []stream.Change) error
	tally tally
}

func (p *projection) run(ctx, work context.Context) error {
	flow := Batch(Changes(p.sub), p.limits)
	for {
		slice, err := flow.Next(ctx)
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		entries := slice.Entries()
		if err := p.transact(ctx, work, slice.Items, entries); err != nil {
			return err
		}
		p.sub.Committed(entries)
		p.tally.add(slice.Items)
		p.tally.report(p.sub, p.onProgress)
	}
}
