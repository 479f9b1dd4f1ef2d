package operators

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"

	"github.com/celeriant/celeriant-go/checkpoint"
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
// db; any other is refused with a [*StoreError]. [ProjectIn] is the same for
// databases without database/sql.
//
// A slice holds what is waiting, at most 512 changes or 4 MiB of payload, see
// [WithLimits]; changes are never split. Changes of one aggregate are in order. With
// [WithWorkers] several transactions run at once, each with other aggregates. Deleted,
// Reset, Truncated and Unreadable reach apply like batches, CaughtUp in a slice of its
// own. CaughtUp and Unreadable move no cursor, so that they come again after a
// restart, and a slice of nothing else is applied again if the outcome of its commit is
// unknown.
//
// Passing database errors run the transaction again, with growing pauses of at
// most 5 s, until ctx ends or for as long as [WithRetryLimit] says: SQLite's
// busy and locked, SQLSTATE classes 08, 40 and 53, states that pass (read only,
// time-outs, shutdown and recovery, lock not available), lost connections, what the
// store says of its database, and what [WithPassing] names. When a commit fails,
// its outcome is unknown; the cursors are read back under the owner's lock
// before anything else happens, and tell.
//
// When apply fails otherwise, the transaction is rolled back, and the slice is applied
// in halves until the change that fails is alone; [At] spares that search. Its
// [Verdict] concerns its aggregate only, see [ForEach]. Three failing changes in one
// slice count as one common cause: then the whole slice is tried again.
//
// Project ends, always with an error and with its subscription closed:
//   - when ctx ends, with ctx's cause. No further transaction is begun; those
//     in flight may finish within the stop timeout.
//   - when the verdict about a failure of apply is Stop, with a [*HandlerError]; the
//     transaction is rolled back.
//   - when the subscription ends, or somebody else took it over, with the
//     terminal cause; errors.Is tells [checkpoint.ErrFenced].
//   - when the database fails for good, with a [*TransactionError].
func Project(ctx context.Context, src Source, db *sql.DB,
	apply func(ctx context.Context, tx *sql.Tx, changes []stream.Change) error, opts ...ProjectOption,
) error {
	return project(ctx, src, func(store checkpoint.Store, s *settings) (Database[*sql.Tx], bool) {
		tx, ok := store.(TxStore)
		return &sqlDatabase{db: db, store: tx, options: s.tx}, ok
	}, apply, opts)
}

// ProjectIn is [Project] in transactions of another kind, for instance those of a
// pgx pool or of bbolt. db keeps the cursors of the source's checkpoint store.
func ProjectIn[Tx any](ctx context.Context, src Source, db Database[Tx],
	apply func(ctx context.Context, tx Tx, changes []stream.Change) error, opts ...ProjectOption,
) error {
	return project(ctx, src, func(checkpoint.Store, *settings) (Database[Tx], bool) { return db, true }, apply, opts)
}

func project[Tx any](ctx context.Context, src Source, choose func(checkpoint.Store, *settings) (Database[Tx], bool),
	apply func(context.Context, Tx, []stream.Change) error, opts []ProjectOption,
) (err error) {
	s := defaults()
	for _, o := range opts {
		o.project(&s)
	}
	if known, ok := src.(StoreSource); ok {
		// The present owner of the subscription must not lose it to a mistake here.
		if _, ok := choose(known.Store(), &s); !ok {
			return &StoreError{Store: fmt.Sprintf("%T", known.Store())}
		}
	}
	sub, err := s.open(ctx, src)
	if err != nil {
		return err
	}
	var cause error
	defer func() { err = finish(ctx, sub, cause, s.stop) }()
	db, ok := choose(sub.Store(), &s)
	if !ok {
		cause = &StoreError{Name: sub.Name(), Store: fmt.Sprintf("%T", sub.Store())}
		return cause
	}
	r := newRunner(ctx, s, sub)
	r.demand.Changes = s.limits.Changes
	p := &projection[Tx]{runner: r, db: db, apply: apply}
	r.do = p.handle
	defer func() { cause = cmp.Or(cause, r.result) }()
	cause = r.run()
	return cause
}
